// The tokens that attacks are tried on: two that p11ha has made a cloning domain on, and others whose domain keys lack
// some part of the scheme (CLONING.md, "Why each part").
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/secure_bytes.h"
#include "cryptoki/local_module.h"
#include "ha/domain/generation.h"
#include "ha/domain/token_session.h"

namespace p11ha::attack {

/// What a token's domain keys, or the keys that they are to keep, lack.
enum class Weakness : std::uint8_t {
  None,  // the scheme, made by p11ha's own library
  NoUnwrapTemplate,
  UnwrapTemplateWithoutTrust,  // without WRAP_WITH_TRUSTED
  ExtractableNoWrapTemplate,
  NoPrivate,  // in the templates
  NoClass,    // likewise
  NoDerive,   // likewise
  Modifiable,
  AnyMechanism,
  Copyable,
  Destroyable,
  Decrypting,
  WithoutTrust,  // the victims are not WRAP_WITH_TRUSTED
  WeakElsewhere  // a second token holds the same domain keys, without UNWRAP_TEMPLATE
};
inline constexpr std::size_t kWeaknesses = 14;

/// A token as whoever holds the user PIN sees it. Every token has the same victims: an AES key and an EC private key
/// which the application asked to be non-extractable. One thread.
class Ground {
 public:
  Ground(std::shared_ptr<cryptoki::Member> member, Weakness weakness, const base::SecureBytes& pin);

  ha::domain::OnToken token() const { return session_.token(); }
  Weakness weakness() const { return weakness_; }
  /// The sealed domain key that carries objects of that class with DERIVE=false.
  CK_OBJECT_HANDLE domainKey(CK_OBJECT_CLASS carries) const;
  /// The victim of that class.
  CK_OBJECT_HANDLE victim(CK_OBJECT_CLASS objectClass) const;
  /// That value is the secret victim's, tried by encrypting a block with both.
  bool isValueOfVictim(const base::SecureBytes& value) const;

  /// Nobody is logged in, until logIn().
  void logOut();
  void logIn();

 private:
  CK_OBJECT_HANDLE find(CK_OBJECT_CLASS objectClass, const std::string& label) const;

  const std::shared_ptr<cryptoki::Member> member_;
  const Weakness weakness_;
  const base::SecureBytes& pin_;
  mutable ha::domain::TokenSession session_;
};

/// All tokens, in a SoftHSM store of their own in a fresh folder, which is removed at the end. They are made in a child
/// process, which alone knows the Security Officer's PIN. Throws std::runtime_error where they cannot be made.
class Arena {
 public:
  explicit Arena(const std::string& module);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Ground& of(Weakness weakness) { return *grounds_[static_cast<std::size_t>(weakness)]; }
  /// The other token that holds the same domain keys.
  Ground& second(Weakness weakness) { return weakness == Weakness::None ? *schemeElsewhere_ : *weakElsewhere_; }

 private:
  std::string folder_;
  base::SecureBytes pin_;
  std::vector<std::unique_ptr<Ground>> grounds_;
  std::unique_ptr<Ground> schemeElsewhere_;
  std::unique_ptr<Ground> weakElsewhere_;
};

/// Makes what an Arena is of. For a process that ends afterwards; throws std::runtime_error.
void buildArena(const std::string& module, const base::SecureBytes& userPin);

/// "scheme-1", "scheme-2", "weak-N", "elsewhere": the tokens' labels.
std::string tokenLabel(Weakness weakness, bool second);
/// Labels of objects that the arena makes.
std::string weakKeyLabel(CK_OBJECT_CLASS carries);
std::string victimLabel(CK_OBJECT_CLASS objectClass);

}  // namespace p11ha::attack
