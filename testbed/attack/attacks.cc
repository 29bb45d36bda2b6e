#include "testbed/attack/attacks.h"

#include <algorithm>
#include <functional>

#include "cryptoki/return_codes.h"
#include "ha/domain/generation.h"
#include "ha/domain/holding.h"

namespace p11ha::attack {

using base::SecureBytes;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;
using ha::domain::OnToken;

namespace {

CK_MECHANISM wrapPad() { return {CKM_AES_KEY_WRAP_PAD, nullptr, 0}; }

Result refused(const Outcome& outcome) { return {false, cryptoki::returnCodeName(outcome.rv)}; }
Result gained(const char* what) { return {true, what}; }

// The secret victim, as an honest holder of the PIN takes it back.
Template honest() {
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  wanted.addUlong(CKA_KEY_TYPE, CKK_AES);
  wanted.addBool(CKA_TOKEN, false);
  wanted.addBool(CKA_PRIVATE, true);
  wanted.addBool(CKA_SENSITIVE, true);
  wanted.addBool(CKA_EXTRACTABLE, true);
  wanted.addBool(CKA_WRAP_WITH_TRUSTED, true);
  wanted.addBool(CKA_DERIVE, false);
  wanted.addBool(CKA_ENCRYPT, true);
  return wanted;
}

Template own(const SecureBytes& value) {
  Template key = honest();
  key.setBool(CKA_SENSITIVE, false);
  key.setBool(CKA_WRAP_WITH_TRUSTED, false);
  for (const CK_ATTRIBUTE_TYPE use : {CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP}) key.addBool(use, true);
  key.addBytes(CKA_VALUE, value);
  return key;
}

Outcome wrapVictim(const Ground& ground, CK_OBJECT_CLASS victim, CK_OBJECT_HANDLE with, SecureBytes& wrapped) {
  CK_MECHANISM mechanism = wrapPad();
  return ground.token().wrap(mechanism, with, ground.victim(victim), wrapped);
}

// Reads a key that is believed to be the secret victim.
Result readValue(const Ground& ground, CK_OBJECT_HANDLE key) {
  static constexpr CK_ATTRIBUTE_TYPE kValue[] = {CKA_VALUE};
  Template read;
  const Outcome outcome = ground.token().read(key, kValue, read);
  const auto value = read.find(CKA_VALUE);
  if (!value) return refused(outcome);
  return ground.isValueOfVictim({value->begin(), value->end()}) ? gained("value read") : Result{false, "another value"};
}

// Wraps the secret victim, takes it back on `other` as asked, and reads it.
Result takeBack(const Ground& ground, const Ground& other, Template wanted) {
  SecureBytes wrapped;
  Outcome outcome = wrapVictim(ground, CKO_SECRET_KEY, ground.domainKey(CKO_SECRET_KEY), wrapped);
  if (outcome.rv != CKR_OK) return {false, "C_WrapKey " + refused(outcome).how};
  CK_MECHANISM mechanism = wrapPad();
  CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
  outcome = other.token().unwrap(mechanism, other.domainKey(CKO_SECRET_KEY), wrapped, std::move(wanted), back);
  if (outcome.rv != CKR_OK) return refused(outcome);
  static constexpr CK_ATTRIBUTE_TYPE kValue[] = {CKA_VALUE};
  Template read;
  other.token().read(back, kValue, read);
  const auto value = read.find(CKA_VALUE);
  if (!value) return {false, "taken back, and still sensitive"};
  return ground.isValueOfVictim({value->begin(), value->end()}) ? gained("value read") : Result{false, "another value"};
}

// RFC 5649, section 4.2, for more than one block, over whoever decrypts a block of AES. Empty: it is not that.
SecureBytes unpadded(const SecureBytes& wrapped, const std::function<bool(SecureBytes& block)>& decryptBlock) {
  constexpr std::size_t kHalf = 8;
  if (wrapped.size() % kHalf != 0 || wrapped.size() < 3 * kHalf) return {};
  const std::size_t count = wrapped.size() / kHalf - 1;
  SecureBytes check(wrapped.begin(), wrapped.begin() + kHalf);
  SecureBytes text(wrapped.begin() + kHalf, wrapped.end());
  for (std::size_t step = 6 * count; step > 0; --step) {
    std::uint8_t* const part = &text[(step - 1) % count * kHalf];
    SecureBytes block = check;
    for (std::size_t i = 0; i < kHalf; ++i) block[kHalf - 1 - i] ^= static_cast<std::uint8_t>(step >> 8 * i);
    block.insert(block.end(), part, part + kHalf);
    if (!decryptBlock(block)) return {};
    check.assign(block.begin(), block.begin() + kHalf);
    std::copy(block.begin() + kHalf, block.end(), part);
  }
  static constexpr std::uint8_t kConstant[] = {0xa6, 0x59, 0x59, 0xa6};
  if (!std::equal(std::begin(kConstant), std::end(kConstant), check.begin())) return {};
  const std::size_t length = std::size_t{check[6]} << 8U | check[7];
  if (length > text.size()) return {};
  text.resize(length);
  return text;
}

// Decrypts the wrapped victim with a key that DECRYPT was got for.
Result decryptWrapped(const Ground& ground, CK_OBJECT_HANDLE key, const SecureBytes& wrapped) {
  const OnToken token = ground.token();
  Outcome last;
  const SecureBytes value = unpadded(wrapped, [&](SecureBytes& block) {
    CK_MECHANISM ecb{CKM_AES_ECB, nullptr, 0};
    last = token.member.execute(makeCall<Fn::DecryptInit>(token.session, &ecb, key));
    if (last.rv != CKR_OK) return false;
    SecureBytes out(block.size());
    CK_ULONG size = out.size();
    last = token.member.execute(makeCall<Fn::Decrypt>(token.session, block.data(), block.size(), out.data(), &size));
    block = out;
    return last.rv == CKR_OK;
  });
  if (last.rv != CKR_OK) return refused(last);
  return !value.empty() && ground.isValueOfVictim(value) ? gained("value decrypted") : Result{false, "another value"};
}

Result unwrapReadable(Arena&, Ground& ground) {
  Template wanted = honest();
  wanted.setBool(CKA_SENSITIVE, false);
  return takeBack(ground, ground, std::move(wanted));
}

Result unwrapTwice(Arena&, Ground& ground) {
  Template wanted = honest();
  wanted.addBool(CKA_SENSITIVE, false);
  return takeBack(ground, ground, std::move(wanted));
}

Result unwrapTwiceReversed(Arena&, Ground& ground) {
  Template wanted = honest();
  wanted.erase(CKA_SENSITIVE);
  Template twice;
  twice.addBool(CKA_SENSITIVE, false);
  twice.append(wanted);
  twice.addBool(CKA_SENSITIVE, true);
  return takeBack(ground, ground, std::move(twice));
}

Result unwrapElsewhere(Arena& arena, Ground& ground) {
  Template wanted = honest();
  wanted.setBool(CKA_SENSITIVE, false);
  return takeBack(ground, arena.second(ground.weakness()), std::move(wanted));
}

// Taken back as a key that any key may wrap, wrapped by one of the attacker's own, and taken back readable.
Result unwrapUntrusted(Arena&, Ground& ground) {
  SecureBytes wrapped;
  Outcome outcome = wrapVictim(ground, CKO_SECRET_KEY, ground.domainKey(CKO_SECRET_KEY), wrapped);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Template wanted = honest();
  wanted.setBool(CKA_WRAP_WITH_TRUSTED, false);
  CK_MECHANISM mechanism = wrapPad();
  CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
  outcome = ground.token().unwrap(mechanism, ground.domainKey(CKO_SECRET_KEY), wrapped, std::move(wanted), back);
  if (outcome.rv != CKR_OK) return refused(outcome);
  CK_OBJECT_HANDLE mine = CK_INVALID_HANDLE;
  outcome = ground.token().create(own(SecureBytes(32, 7)), mine);
  if (outcome.rv == CKR_OK) outcome = ground.token().wrap(mechanism, mine, back, wrapped);
  return outcome.rv == CKR_OK ? decryptWrapped(ground, mine, wrapped) : refused(outcome);
}

Result ownKeyWraps(Arena&, Ground& ground) {
  CK_OBJECT_HANDLE mine = CK_INVALID_HANDLE;
  Outcome outcome = ground.token().create(own(SecureBytes(32, 7)), mine);
  SecureBytes wrapped;
  if (outcome.rv == CKR_OK) outcome = wrapVictim(ground, CKO_SECRET_KEY, mine, wrapped);
  return outcome.rv == CKR_OK ? decryptWrapped(ground, mine, wrapped) : refused(outcome);
}

// A TRUSTED key of the attacker's own, by whatever makes keys.
Result ownTrustedKey(Arena&, Ground& ground) {
  Template wanted = own(SecureBytes(32, 7));
  wanted.addBool(CKA_TRUSTED, true);
  CK_OBJECT_HANDLE mine = CK_INVALID_HANDLE;
  Outcome outcome = ground.token().create(std::move(wanted), mine);
  if (outcome.rv != CKR_OK) {
    outcome = ground.token().create(own(SecureBytes(32, 7)), mine);
    Template trusted;
    trusted.addBool(CKA_TRUSTED, true);
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    outcome = ground.token().copy(mine, trusted, copy);
    if (outcome.rv == CKR_OK) mine = copy;
    if (outcome.rv != CKR_OK) outcome = ground.token().change(mine, trusted);
  }
  if (outcome.rv != CKR_OK) return refused(outcome);
  SecureBytes wrapped;
  outcome = wrapVictim(ground, CKO_SECRET_KEY, mine, wrapped);
  return outcome.rv == CKR_OK ? decryptWrapped(ground, mine, wrapped) : refused(outcome);
}

Result wrapItself(Arena&, Ground& ground) {
  const CK_OBJECT_HANDLE domainKey = ground.domainKey(CKO_SECRET_KEY);
  CK_MECHANISM mechanism = wrapPad();
  SecureBytes wrapped;
  Outcome outcome = ground.token().wrap(mechanism, domainKey, domainKey, wrapped);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Template wanted = honest();
  wanted.addBool(CKA_DECRYPT, true);
  CK_OBJECT_HANDLE twin = CK_INVALID_HANDLE;
  outcome = ground.token().unwrap(mechanism, domainKey, wrapped, std::move(wanted), twin);
  if (outcome.rv != CKR_OK) return refused(outcome);
  outcome = wrapVictim(ground, CKO_SECRET_KEY, domainKey, wrapped);
  return outcome.rv == CKR_OK ? decryptWrapped(ground, twin, wrapped) : refused(outcome);
}

Result decryptWithDomainKey(Arena&, Ground& ground) {
  SecureBytes wrapped;
  const CK_OBJECT_HANDLE domainKey = ground.domainKey(CKO_SECRET_KEY);
  const Outcome outcome = wrapVictim(ground, CKO_SECRET_KEY, domainKey, wrapped);
  return outcome.rv == CKR_OK ? decryptWrapped(ground, domainKey, wrapped) : refused(outcome);
}

// Taken back as a public object, and used when nobody is logged in.
Result useWithoutLogin(Arena&, Ground& ground) {
  SecureBytes wrapped;
  Outcome outcome = wrapVictim(ground, CKO_SECRET_KEY, ground.domainKey(CKO_SECRET_KEY), wrapped);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Template wanted = honest();
  wanted.setBool(CKA_PRIVATE, false);
  CK_MECHANISM mechanism = wrapPad();
  CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
  outcome = ground.token().unwrap(mechanism, ground.domainKey(CKO_SECRET_KEY), wrapped, std::move(wanted), back);
  if (outcome.rv != CKR_OK) return refused(outcome);
  ground.logOut();
  CK_MECHANISM ecb{CKM_AES_ECB, nullptr, 0};
  const OnToken token = ground.token();
  SecureBytes block(16);
  CK_ULONG size = block.size();
  outcome = token.member.execute(makeCall<Fn::EncryptInit>(token.session, &ecb, back));
  if (outcome.rv == CKR_OK) {
    outcome =
        token.member.execute(makeCall<Fn::Encrypt>(token.session, block.data(), block.size(), block.data(), &size));
  }
  ground.logIn();
  return outcome.rv == CKR_OK ? gained("used with no login") : refused(outcome);
}

Result editWithoutLogin(Arena&, Ground& ground) {
  ground.logOut();
  Template change;
  change.addBool(CKA_DECRYPT, true);
  const Outcome outcome = ground.token().change(ground.domainKey(CKO_SECRET_KEY), change);
  ground.logIn();
  return outcome.rv == CKR_OK ? gained("DECRYPT set with no login") : refused(outcome);
}

// A private key's bytes as a secret that is wrapped, derived from or digested as such.
Result takeAsOtherClass(Arena&, Ground& ground) {
  SecureBytes wrapped;
  Outcome outcome = wrapVictim(ground, CKO_PRIVATE_KEY, ground.domainKey(CKO_PRIVATE_KEY), wrapped);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Template wanted = honest();
  wanted.setUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
  CK_MECHANISM mechanism = wrapPad();
  CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
  outcome = ground.token().unwrap(mechanism, ground.domainKey(CKO_PRIVATE_KEY), wrapped, std::move(wanted), back);
  return outcome.rv == CKR_OK ? gained("private key as a secret key") : refused(outcome);
}

Result wrapOtherClass(Arena&, Ground& ground) {
  SecureBytes wrapped;
  const Outcome outcome = wrapVictim(ground, CKO_PRIVATE_KEY, ground.domainKey(CKO_SECRET_KEY), wrapped);
  return outcome.rv == CKR_OK ? gained("private key wrapped") : refused(outcome);
}

// With DERIVE a key gives its ciphertexts away as values of other keys.
Result takeWithDerive(Arena&, Ground& ground) {
  SecureBytes wrapped;
  Outcome outcome = wrapVictim(ground, CKO_SECRET_KEY, ground.domainKey(CKO_SECRET_KEY), wrapped);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Template wanted = honest();
  wanted.setBool(CKA_DERIVE, true);
  CK_MECHANISM mechanism = wrapPad();
  CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
  const OnToken token = ground.token();
  outcome = token.unwrap(mechanism, ground.domainKey(CKO_SECRET_KEY), wrapped, std::move(wanted), back);
  if (outcome.rv != CKR_OK) return refused(outcome);
  SecureBytes data(16);
  CK_KEY_DERIVATION_STRING_DATA parameter{data.data(), data.size()};
  CK_MECHANISM derivation{CKM_AES_ECB_ENCRYPT_DATA, &parameter, sizeof parameter};
  Template derived;
  derived.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  derived.addUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
  derived.addUlong(CKA_VALUE_LEN, 16);
  derived.addBool(CKA_TOKEN, false);
  CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
  outcome = token.member.execute(
      makeCall<Fn::DeriveKey>(token.session, &derivation, back, derived.data(), derived.count(), &made));
  return outcome.rv == CKR_OK ? gained("derived from") : refused(outcome);
}

Result otherMechanism(Arena&, Ground& ground) {
  SecureBytes wrapped;
  CK_MECHANISM mechanism{CKM_AES_KEY_WRAP, nullptr, 0};
  const Outcome outcome =
      ground.token().wrap(mechanism, ground.domainKey(CKO_SECRET_KEY), ground.victim(CKO_SECRET_KEY), wrapped);
  return outcome.rv == CKR_OK ? gained("wrapped by CKM_AES_KEY_WRAP") : refused(outcome);
}

// Taken back cut short, to be found byte by byte.
Result takeOneByte(Arena&, Ground& ground) {
  SecureBytes wrapped;
  Outcome outcome = wrapVictim(ground, CKO_SECRET_KEY, ground.domainKey(CKO_SECRET_KEY), wrapped);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Template wanted = honest();
  wanted.setUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
  wanted.erase(CKA_ENCRYPT);
  wanted.addBool(CKA_SIGN, true);
  wanted.addUlong(CKA_VALUE_LEN, 1);
  CK_MECHANISM mechanism = wrapPad();
  CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
  outcome = ground.token().unwrap(mechanism, ground.domainKey(CKO_SECRET_KEY), wrapped, std::move(wanted), back);
  return outcome.rv == CKR_OK ? gained("a key of one byte") : refused(outcome);
}

// A key of a known value, called a newer domain key than any there is. Who goes by names only wraps under it.
Result plant(Arena&, Ground& ground) {
  const ha::domain::Kind kind{ha::domain::Seal::Sealed, CKO_SECRET_KEY, false};
  const std::string label = ha::domain::labelOf({4'000'000'000U, {1, 2, 3}, false}, kind);
  Template planted = own(SecureBytes(32, 9));
  planted.setBool(CKA_TOKEN, true);
  planted.setBool(CKA_PRIVATE, false);
  planted.addText(CKA_LABEL, label);
  planted.addText(CKA_ID, ha::domain::kDomainKeyId);
  CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
  Outcome outcome = ground.token().create(std::move(planted), key);
  if (outcome.rv != CKR_OK) return refused(outcome);
  Result result = gained("value decrypted");
  if (ground.weakness() == Weakness::None) {
    ha::domain::Holding holding;
    ha::domain::readHolding(ground.token(), holding);
    const bool taken =
        std::any_of(holding.keys.begin(), holding.keys.end(), [&](const auto& held) { return held.handle == key; });
    result = taken ? gained("taken for a domain key") : Result{false, "not taken for a domain key"};
  }
  SecureBytes wrapped;
  outcome = wrapVictim(ground, CKO_SECRET_KEY, key, wrapped);
  if (outcome.rv == CKR_OK) result = decryptWrapped(ground, key, wrapped);
  if (outcome.rv != CKR_OK && ground.weakness() != Weakness::None) result = refused(outcome);
  ground.token().destroy(key);
  return result;
}

// The victim itself made less than it is.
Result changeVictim(Arena&, Ground& ground) {
  Outcome outcome;
  const CK_OBJECT_HANDLE victim = ground.victim(CKO_SECRET_KEY);
  for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED, CKA_PRIVATE}) {
    Template change;
    change.addBool(type, false);
    outcome = ground.token().change(victim, change);
    if (outcome.rv == CKR_OK) return gained("changed");
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    outcome = ground.token().copy(victim, change, copy);
    if (outcome.rv == CKR_OK) return gained("copied");
  }
  return refused(outcome);
}

Result readVictim(Arena&, Ground& ground) { return readValue(ground, ground.victim(CKO_SECRET_KEY)); }

Result copyDomainKey(Arena&, Ground& ground) {
  Template change;
  change.addBool(CKA_TOKEN, false);
  change.addBool(CKA_DECRYPT, true);
  CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
  const Outcome outcome = ground.token().copy(ground.domainKey(CKO_SECRET_KEY), change, copy);
  return outcome.rv == CKR_OK ? gained("copied with DECRYPT") : refused(outcome);
}

Result destroyDomainKey(Arena&, Ground& ground) {
  const Outcome outcome = ground.token().destroy(ground.domainKey(CKO_SECRET_KEY));
  return outcome.rv == CKR_OK ? gained("destroyed") : refused(outcome);
}

constexpr Attack kAttacks[] = {
    {"take it back with SENSITIVE=false", "no UNWRAP_TEMPLATE", Weakness::NoUnwrapTemplate, unwrapReadable},
    {"take it back with SENSITIVE true, then false", "no UNWRAP_TEMPLATE", Weakness::NoUnwrapTemplate, unwrapTwice},
    // Of two SoftHSM takes the last.
    {"take it back with SENSITIVE false, then true", "-", Weakness::None, unwrapTwiceReversed},
    {"take it back without WRAP_WITH_TRUSTED, wrap it again", "not in UNWRAP_TEMPLATE",
     Weakness::UnwrapTemplateWithoutTrust, unwrapUntrusted},
    {"take it back on another member with SENSITIVE=false", "one member has no UNWRAP_TEMPLATE",
     Weakness::WeakElsewhere, unwrapElsewhere},
    {"take it back with PRIVATE=false, use it with no login", "PRIVATE not in the templates", Weakness::NoPrivate,
     useWithoutLogin},
    {"take a private key back as a secret key", "CLASS not in the templates", Weakness::NoClass, takeAsOtherClass},
    {"wrap a private key by the key for secret keys", "CLASS not in the templates", Weakness::NoClass, wrapOtherClass},
    {"take it back with DERIVE, derive from it", "DERIVE not in the templates", Weakness::NoDerive, takeWithDerive},
    {"wrap the domain key by itself, take it back with DECRYPT", "EXTRACTABLE, no WRAP_TEMPLATE",
     Weakness::ExtractableNoWrapTemplate, wrapItself},
    {"decrypt what is wrapped with the domain key", "DECRYPT, any mechanism", Weakness::Decrypting,
     decryptWithDomainKey},
    {"wrap by another mechanism", "no ALLOWED_MECHANISMS", Weakness::AnyMechanism, otherMechanism},
    {"wrap it by a key of one's own", "not WRAP_WITH_TRUSTED", Weakness::WithoutTrust, ownKeyWraps},
    {"plant a domain key of a known value", "found by its name only", Weakness::WithoutTrust, plant},
    {"make a TRUSTED key of one's own", "-", Weakness::None, ownTrustedKey},
    {"clear SENSITIVE, WRAP_WITH_TRUSTED or PRIVATE", "-", Weakness::None, changeVictim},
    {"take one byte of it back", "-", Weakness::None, takeOneByte},
    {"read it", "-", Weakness::None, readVictim},
    {"copy the domain key with DECRYPT", "COPYABLE and MODIFIABLE", Weakness::Copyable, copyDomainKey},
    {"edit the domain key with no login", "no MODIFIABLE=false", Weakness::Modifiable, editWithoutLogin},
    {"destroy the domain key", "no DESTROYABLE=false", Weakness::Destroyable, destroyDomainKey},
};

}  // namespace

std::span<const Attack> allAttacks() { return kAttacks; }

}  // namespace p11ha::attack
