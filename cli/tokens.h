// The tokens that the configuration leads to, as one command sees them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secure_bytes.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "compose/compose.h"
#include "ha/domain/domain.h"

namespace p11ha::cli {

/// A token of a module or a server.
struct Token {
  std::shared_ptr<cryptoki::Member> member;
  CK_RV rv = CKR_OK;     ///< of looking at it
  std::string problem;   ///< in words; mostly empty
  CK_TOKEN_INFO info{};  ///< where rv is CKR_OK

  const std::string& serial() const { return member->serial(); }
  bool isThere() const { return rv == CKR_OK; }
  /// The label, escaped for a terminal, or as it is.
  std::string label() const;
  std::string plainLabel() const;
};

/// Owned by a command for as long as it runs; connections end with it. One thread.
class Tokens {
 public:
  /// Asks all modules and servers. Blocks as they do.
  explicit Tokens(const config::Settings& settings);
  /// The same; what is not there is noted to the user.
  Tokens(const config::Settings& settings, Console& console);
  ~Tokens();
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;

  /// By their slots, which are numbered from 0; members of groups that are not there among them.
  const std::vector<Token>& all() const { return all_; }
  /// What is not there, a line each.
  const std::vector<std::string>& complaints() const { return composition_.complaints; }
  const Token* find(const std::string& serial) const;
  /// The slot that the token has here; nullopt: it is not there.
  std::optional<unsigned> slotOf(const std::string& serial) const;
  /// Groups have the slots after those of tokens.
  unsigned slotOfGroup(std::size_t index) const { return static_cast<unsigned>(all_.size() + index); }

  /// The token of that serial number, or in that slot, which is there. Trouble lists those that are.
  base::Result<const Token*, Trouble> named(const std::string& serial) const;
  base::Result<const Token*, Trouble> inSlot(const std::string& number) const;
  /// By option -serialNumber, or else -slot.
  base::Result<const Token*, Trouble> chosen(const Arguments& arguments) const;

 private:
  std::string present() const;

  compose::Composition composition_;
  std::vector<Token> all_;
};

/// Loads a module and initialises it, for good. Trouble: it is none, or this project's own, which would lead to itself.
std::optional<Trouble> tryModule(const std::string& path, const std::string& reserved);

/// The members of a group, in its order.
std::vector<const Token*> membersOf(const config::Group& group, const Tokens& tokens);

/// A slot number, or another one, as it was typed.
std::optional<unsigned> slotNumber(const std::string& text);

}  // namespace p11ha::cli
