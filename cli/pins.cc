#include "cli/pins.h"

#include <charconv>

#include "cli/pin_source.h"
#include "cryptoki/return_codes.h"

namespace p11ha::cli {

using base::Failure;
using base::SecureBytes;

namespace {

// The rest of what begins with `mark`; a source is no secret.
std::optional<std::string> sourceBehind(std::string_view mark, const SecureBytes& given) {
  if (given.size() <= mark.size() || !std::equal(mark.begin(), mark.end(), given.begin())) return std::nullopt;
  return std::string(given.begin() + static_cast<std::ptrdiff_t>(mark.size()), given.end());
}

std::optional<PinSource> sourceOf(const SecureBytes& given) {
  if (const auto variable = sourceBehind("env:", given)) return PinSource{*variable, {}};
  const auto number = sourceBehind("fd:", given);
  if (!number) return std::nullopt;
  int descriptor = 0;
  const char* const end = number->data() + number->size();
  const auto [rest, failed] = std::from_chars(number->data(), end, descriptor);
  return failed == std::errc() && rest == end ? std::optional(PinSource{"", descriptor}) : std::nullopt;
}

}  // namespace

base::Result<std::optional<SecureBytes>, Trouble> givenPin(const Arguments& arguments, std::string_view option) {
  const SecureBytes* const given = arguments.pin(option);
  if (given == nullptr || given->empty()) return std::optional<SecureBytes>();
  const auto source = sourceOf(*given);
  if (!source) return std::optional(*given);
  auto read = readPin(*source);
  if (!read) return Failure{Trouble{CKR_ARGUMENTS_BAD, "-" + std::string(option) + ": " + read.error()}};
  if (!*read) {
    const std::string where =
        source->descriptor ? "descriptor " + std::to_string(*source->descriptor) : "variable " + source->variable;
    return Failure{Trouble{CKR_ARGUMENTS_BAD, "-" + std::string(option) + ": " + where + " holds no PIN"}};
  }
  return *std::move(read);
}

base::Result<SecureBytes, Trouble> pinFor(Session& session, const Arguments& arguments, std::string_view option,
                                          const std::string& question) {
  auto given = givenPin(arguments, option);
  if (!given) return Failure{given.error()};
  if (*given) return **std::move(given);
  auto asked = session.console().askSecret("        " + question);
  const std::string next = "Give it by -" + std::string(option) + ": env:NAME for a variable, fd:N for a descriptor.";
  if (!asked && asked.error().isInterrupted) return Failure{interrupted(kUnchanged)};
  if (!asked) return Failure{Trouble{CKR_ARGUMENTS_BAD, "a PIN is needed, and " + asked.error().why, next}};
  if (asked->empty()) return Failure{Trouble{CKR_PIN_LEN_RANGE, "a PIN is needed, and none was entered", next}};
  return *std::move(asked);
}

Trouble refusedPin(const std::string& serial, CK_USER_TYPE user, CK_RV rv) {
  const bool isOfficer = user == CKU_SO;
  const std::string what = "member " + serial + ": the " + (isOfficer ? "Security Officer's" : "user's") +
                           " C_Login answers " + cryptoki::returnCodeName(rv);
  switch (rv) {
    case CKR_PIN_LOCKED:
      return {rv, what,
              isOfficer
                  ? "It is locked, or one wrong PIN from it: log in to the token itself, or leave -sopassword out."
                  : "It is locked, or one wrong PIN from it: log in to the token itself, or have its PIN set anew."};
    case CKR_USER_PIN_NOT_INITIALIZED:
      return {rv, what, "Set the user's PIN of the token first."};
    case CKR_PIN_INCORRECT:
      return {rv, what,
              isOfficer
                  ? "No other member was asked. -sopassword is that of all members; without it there is no domain."
                  : "No other member was asked. All members of a group have the same PIN."};
    default:
      return {rv, what, kUnchanged};
  }
}

}  // namespace p11ha::cli
