// What a command comes back with.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "cryptoki/pkcs11.h"

namespace p11ha::cli {

using Json = nlohmann::ordered_json;

/// What was asked for. A plain value.
struct Reply {
  std::string text{};          ///< the lines between the command and its result, each with its end
  std::optional<Json> json{};  ///< the same for programs
};

/// Why it was not done. A plain value; holds no secret.
struct Trouble {
  CK_RV rv = CKR_ARGUMENTS_BAD;
  std::string what{};  ///< a sentence without its period
  std::string next{};  ///< what to do, as sentences; empty: `what` says it
  Reply soFar{};       ///< what there is to show in spite of it
};

/// What to say last of a change that was refused.
inline constexpr const char* kUnchanged = "Nothing was changed.";

/// ^C ended it. `next`: what that means for what was begun.
inline Trouble interrupted(std::string next) { return {CKR_FUNCTION_CANCELED, "interrupted", std::move(next)}; }

using Answer = base::Result<Reply, Trouble>;

/// One line in the place where answers stand.
std::string sentence(const std::string& text);

/// A text of others, such as a token's label, fit for one line of a terminal.
std::string escaped(std::string_view text);

/// "a", "b" or "c": candidates of which one is to be named.
template <class Texts>
std::string listed(const Texts& texts) {
  std::string result;
  for (const auto& text : texts) (result += result.empty() ? "" : ", ") += text;
  return result;
}

/// How an answer is shown: a blank line, the text, a blank line and `Command Result : ...`; of what JSON was
/// asked for, one document and nothing else. Pure.
std::string shown(const Answer& answer, bool asJson);

}  // namespace p11ha::cli
