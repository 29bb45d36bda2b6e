#include "cli/tokens.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>

#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"

namespace p11ha::cli {

using base::Failure;
using cryptoki::Fn;
using cryptoki::makeCall;

namespace {

cryptoki::Modules& modules() {
  static auto& all = *new cryptoki::Modules;  // never destroyed, as what it loads
  return all;
}

// One slot a member, and each token's login our own.
config::Settings forUs(config::Settings settings) {
  settings.ha.haOnly = true;
  return settings;
}

Token lookAt(std::shared_ptr<cryptoki::Member> member) {
  Token token{std::move(member), CKR_OK, {}, {}};
  token.rv = token.member->attach();
  if (token.rv == CKR_OK) token.rv = token.member->execute(makeCall<Fn::GetTokenInfo>(CK_SLOT_ID{0}, &token.info)).rv;
  if (token.rv != CKR_OK) token.problem = token.member->problem();
  return token;
}

// By what no other module has: CA_GetHAState without the rest of that interface. The library stays, as all that Modules
// loads: not every module survives being unloaded.
bool isOurs(const std::string& path) {
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  return library != nullptr && dlsym(library, "CA_GetHAState") != nullptr &&
         dlsym(library, "CA_GetFunctionList") == nullptr;
}

}  // namespace

std::optional<Trouble> tryModule(const std::string& path, const std::string& reserved) {
  if (isOurs(path)) {
    return Trouble{CKR_ARGUMENTS_BAD, "-path: " + config::inQuotes(path) + " is p11ha itself, whose members are wanted",
                   "Name the module of a token; nothing was changed."};
  }
  const auto opened = modules().open({path, reserved});
  if (opened) return std::nullopt;
  return Trouble{CKR_ARGUMENTS_BAD, "-path: " + opened.error(), kUnchanged};
}

std::string Token::label() const { return escaped(plainLabel()); }

std::string Token::plainLabel() const { return cryptoki::unpad(info.label); }

Tokens::Tokens(const config::Settings& settings) : composition_(compose::compose(forUs(settings), modules())) {
  for (const auto& member : composition_.fleet->all(settings.groups)) all_.push_back(lookAt(member));
}

Tokens::Tokens(const config::Settings& settings, Console& console) : Tokens(settings) {
  for (const std::string& complaint : complaints()) console.note(complaint + "\n");
}

Tokens::~Tokens() { composition_.fleet->close(); }

const Token* Tokens::find(const std::string& serial) const {
  const auto found =
      std::find_if(all_.begin(), all_.end(), [&](const Token& token) { return token.serial() == serial; });
  return found == all_.end() ? nullptr : &*found;
}

std::optional<unsigned> Tokens::slotOf(const std::string& serial) const {
  const Token* const token = find(serial);
  if (token == nullptr || !token->isThere()) return std::nullopt;
  return static_cast<unsigned>(token - all_.data());
}

std::string Tokens::present() const {
  std::vector<std::string> texts;
  for (const Token& token : all_) {
    if (token.isThere()) texts.push_back(token.serial() + " (" + token.label() + ")");
  }
  return texts.empty() ? "there is none" : "there are " + listed(texts);
}

base::Result<const Token*, Trouble> Tokens::named(const std::string& serial) const {
  const Token* const token = find(serial);
  if (token == nullptr) {
    return Failure{Trouble{CKR_TOKEN_NOT_PRESENT,
                           "no module or server shows a token " + config::inQuotes(serial) + "; " + present(),
                           "client addModule adds a module, client addServer a server; nothing was changed."}};
  }
  if (token->isThere()) return token;
  return Failure{Trouble{token->rv,
                         "member " + serial + " cannot be reached: " +
                             (token->problem.empty() ? cryptoki::returnCodeName(token->rv) : token->problem),
                         "Try again once it is there; nothing was changed."}};
}

base::Result<const Token*, Trouble> Tokens::inSlot(const std::string& number) const {
  const auto slot = slotNumber(number);
  if (slot && *slot < all_.size()) return named(all_[*slot].serial());
  return Failure{Trouble{CKR_SLOT_ID_INVALID, "no token is in slot " + config::inQuotes(number) + "; " + present(),
                         "See `slot list`."}};
}

base::Result<const Token*, Trouble> Tokens::chosen(const Arguments& arguments) const {
  const auto serial = arguments.find("serialNumber");
  return serial ? named(*serial) : inSlot(arguments.text("slot"));
}

std::vector<const Token*> membersOf(const config::Group& group, const Tokens& tokens) {
  std::vector<const Token*> members;
  for (const std::string& serial : group.members) members.push_back(tokens.find(serial));
  return members;
}

std::optional<unsigned> slotNumber(const std::string& text) {
  unsigned number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number);
  return failed == std::errc() && rest == end ? std::optional(number) : std::nullopt;
}

}  // namespace p11ha::cli
