#include "ha/key_proof.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "cryptoki/attribute_reader.h"
#include "ha/judge.h"
#include "ha/signers.h"

namespace p11ha::ha {

using base::SecureBytes;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

namespace {

// What became of one step: bytes, a refusal of this key or mechanism (another way may do), or nothing that tells.
struct Produced {
  std::optional<SecureBytes> bytes;
  bool refused = false;
  bool lost = false;  // the member: no use in asking it for more
};

// A member short of memory, with a fault of its own, or where the key is gone, says nothing of it.
Produced failed(const Outcome& outcome) {
  const auto what = cryptoki::classify(outcome.rv);
  const bool refused = !isLoss(outcome) && outcome.rv != CKR_OPERATION_ACTIVE &&
                       (what == cryptoki::RvClass::Application || what == cryptoki::RvClass::NotLoggedIn);
  return {std::nullopt, refused, isLoss(outcome)};
}
Proof proofOf(const Produced& none) { return none.refused ? Proof::Impossible : Proof::Unreachable; }

Outcome run(const KeyOn& on, const cryptoki::Call& call) { return on.member.token->execute(call); }

std::optional<std::array<CK_BYTE, 32>> randomBytes(const KeyOn& on) {
  std::array<CK_BYTE, 32> bytes{};
  const Outcome outcome = run(on, makeCall<Fn::GenerateRandom>(on.session, bytes.data(), bytes.size()));
  return outcome.rv == CKR_OK ? std::optional(bytes) : std::nullopt;
}

// Begins an operation. One that a step before has left behind, because the member failed at it, is ended by `end`.
template <class Begin, class End>
Outcome begin(Begin&& begin, End&& end) {
  const Outcome outcome = begin();
  if (outcome.rv != CKR_OPERATION_ACTIVE) return outcome;
  end();
  return begin();
}

// An operation that is begun, fed once and ended by `finish`, whose output is what counts.
template <Fn Init, Fn Whole>
Produced oneShot(const KeyOn& on, CK_MECHANISM_TYPE type, std::span<CK_BYTE> input, const Credentials* credentials) {
  CK_MECHANISM mechanism{type, nullptr, 0};
  SecureBytes output(4096);
  CK_ULONG length = output.size();
  const auto whole = [&] {
    length = output.size();
    return run(on, makeCall<Whole>(on.session, input.data(), input.size(), output.data(), &length));
  };
  Outcome outcome = begin([&] { return run(on, makeCall<Init>(on.session, &mechanism, on.key)); }, whole);
  if (outcome.rv != CKR_OK) return failed(outcome);
  if (credentials != nullptr) {
    SecureBytes pin = credentials->pin;
    run(on, makeCall<Fn::Login>(on.session, CK_USER_TYPE{CKU_CONTEXT_SPECIFIC}, pin.data(), pin.size()));
  }
  outcome = whole();
  if (outcome.rv != CKR_OK || length > output.size()) {
    // Whether it is still active nobody knows: then this ends it.
    if (!isLoss(outcome)) whole();
    return failed(outcome);
  }
  output.resize(length);
  return {std::move(output)};
}

Produced digestOf(const KeyOn& on, CK_MECHANISM_TYPE type, std::span<CK_BYTE> salt) {
  CK_MECHANISM mechanism{type, nullptr, 0};
  SecureBytes digest(64);
  CK_ULONG length = digest.size();
  const auto end = [&] {
    length = digest.size();
    return run(on, makeCall<Fn::DigestFinal>(on.session, digest.data(), &length));
  };
  Outcome outcome = begin([&] { return run(on, makeCall<Fn::DigestInit>(on.session, &mechanism)); }, end);
  if (outcome.rv != CKR_OK) return failed(outcome);
  outcome = run(on, makeCall<Fn::DigestUpdate>(on.session, salt.data(), salt.size()));
  if (outcome.rv == CKR_OK) outcome = run(on, makeCall<Fn::DigestKey>(on.session, on.key));
  // Also where a step failed: the session must be left without an operation.
  const Outcome ended = end();
  if (outcome.rv == CKR_OK) outcome = ended;
  if (outcome.rv != CKR_OK || length > digest.size()) return failed(outcome);
  digest.resize(length);
  return {std::move(digest)};
}

// One way to make a secret key show that it is another: what it makes of the same bytes.
struct Way {
  Produced (*go)(const KeyOn& on, CK_MECHANISM_TYPE type, std::span<CK_BYTE> salt);
  CK_MECHANISM_TYPE type;
};

Produced macOf(const KeyOn& on, CK_MECHANISM_TYPE type, std::span<CK_BYTE> salt) {
  return oneShot<Fn::SignInit, Fn::Sign>(on, type, salt, nullptr);
}

Produced ciphertextOf(const KeyOn& on, CK_MECHANISM_TYPE type, std::span<CK_BYTE> salt) {
  return oneShot<Fn::EncryptInit, Fn::Encrypt>(on, type, salt, nullptr);
}

constexpr std::array<Way, 6> kWays{{{digestOf, CKM_SHA256},
                                    {macOf, CKM_SHA256_HMAC},
                                    {macOf, CKM_AES_CMAC},
                                    {macOf, CKM_DES3_CMAC},
                                    {ciphertextOf, CKM_AES_ECB},
                                    {ciphertextOf, CKM_DES3_ECB}}};

Proof compare(const Produced& a, const Produced& b) {
  if (a.bytes && b.bytes) return *a.bytes == *b.bytes ? Proof::Same : Proof::Different;
  return a.refused || b.refused ? Proof::Impossible : Proof::Unreachable;
}

// A public key of the given material, as a session object beside the candidate; destroyed with this.
class PublicKey {
 public:
  PublicKey(const Identity& identity, const KeyOn& beside) : on_(beside) {
    Template wanted;
    wanted.addUlong(CKA_CLASS, CKO_PUBLIC_KEY);
    wanted.addUlong(CKA_KEY_TYPE, identity.type);
    wanted.addBool(CKA_TOKEN, false);
    wanted.addBool(CKA_PRIVATE, false);
    wanted.addBool(CKA_VERIFY, true);
    if (identity.type == CKK_RSA) wanted.addBool(CKA_ENCRYPT, true);
    wanted.append(materialAttributes(identity));
    const Outcome made = run(on_, makeCall<Fn::CreateObject>(on_.session, wanted.data(), wanted.count(), &handle_));
    if (made.rv != CKR_OK) failure_ = proofOf(failed(made));
  }
  ~PublicKey() {
    if (handle_ != CK_INVALID_HANDLE) run(on_, makeCall<Fn::DestroyObject>(on_.session, handle_));
  }
  PublicKey(const PublicKey&) = delete;
  PublicKey& operator=(const PublicKey&) = delete;

  CK_OBJECT_HANDLE handle() const { return handle_; }
  Proof failure() const { return failure_; }

 private:
  const KeyOn& on_;
  CK_OBJECT_HANDLE handle_ = CK_INVALID_HANDLE;
  Proof failure_ = Proof::Impossible;
};

// A session object that ends with this.
class Temporary {
 public:
  explicit Temporary(const KeyOn& beside) : on_(beside) {}
  ~Temporary() {
    if (handle != CK_INVALID_HANDLE) run(on_, makeCall<Fn::DestroyObject>(on_.session, handle));
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;

 private:
  const KeyOn& on_;
};

// The point within CKA_EC_POINT, which is a DER OCTET STRING; empty if it is not.
std::span<const std::uint8_t> rawPoint(std::span<const std::uint8_t> der) {
  constexpr std::uint8_t kOctetString = 4;
  constexpr std::uint8_t kLongLength = 0x81;
  if (der.size() > 2 && der[0] == kOctetString && der[1] == der.size() - 2) return der.subspan(2);
  if (der.size() > 3 && der[0] == kOctetString && der[1] == kLongLength && der[2] == der.size() - 3)
    return der.subspan(3);
  return {};
}

Outcome derive(const KeyOn& on, CK_OBJECT_HANDLE key, std::span<const std::uint8_t> point, CK_OBJECT_HANDLE& secret) {
  SecureBytes peer(point.begin(), point.end());
  CK_ECDH1_DERIVE_PARAMS parameters{CKD_NULL, 0, nullptr, peer.size(), peer.data()};
  CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameters, sizeof parameters};
  Template wanted;
  wanted.addUlong(CKA_CLASS, CKO_SECRET_KEY);
  wanted.addUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
  wanted.addBool(CKA_TOKEN, false);
  wanted.addBool(CKA_SENSITIVE, true);
  wanted.addBool(CKA_EXTRACTABLE, false);
  wanted.addBool(CKA_SIGN, true);
  return run(on, makeCall<Fn::DeriveKey>(on.session, &mechanism, key, wanted.data(), wanted.count(), &secret));
}

// For a key that may only derive: it and a throw-away key of the same curve agree on a secret, each with the other's
// public key, if it is the one that belongs to the material.
Proof proveByAgreement(const Identity& identity, const KeyOn& candidate) {
  const Template material = materialAttributes(identity);
  const auto parameters = material.find(CKA_EC_PARAMS);
  const auto ownPoint = material.find(CKA_EC_POINT);
  if (!parameters || !ownPoint || rawPoint(*ownPoint).empty()) return Proof::Impossible;
  const auto failure = [](const Outcome& outcome) { return proofOf(failed(outcome)); };

  // With a point of another curve some tokens fail in a way that says nothing of the key.
  static constexpr CK_ATTRIBUTE_TYPE kCurve[] = {CKA_EC_PARAMS};
  Template own;
  Outcome outcome = cryptoki::readAttributes(*candidate.member.token, candidate.session, candidate.key, kCurve, own);
  if (isLoss(outcome)) return failure(outcome);
  if (const auto curve = own.find(CKA_EC_PARAMS);
      curve && !std::equal(curve->begin(), curve->end(), parameters->begin(), parameters->end()))
    return Proof::Different;

  Template forPublic;
  forPublic.addBool(CKA_TOKEN, false);
  forPublic.addBool(CKA_PRIVATE, false);
  forPublic.addBytes(CKA_EC_PARAMS, *parameters);
  Template forPrivate;
  forPrivate.addBool(CKA_TOKEN, false);
  forPrivate.addBool(CKA_DERIVE, true);
  Temporary peerPublic(candidate);
  Temporary peerPrivate(candidate);
  CK_MECHANISM generation{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
  outcome = run(candidate, makeCall<Fn::GenerateKeyPair>(candidate.session, &generation, forPublic.data(),
                                                         forPublic.count(), forPrivate.data(), forPrivate.count(),
                                                         &peerPublic.handle, &peerPrivate.handle));
  if (outcome.rv != CKR_OK) return failure(outcome);
  static constexpr CK_ATTRIBUTE_TYPE kPoint[] = {CKA_EC_POINT};
  Template peer;
  outcome = cryptoki::readAttributes(*candidate.member.token, candidate.session, peerPublic.handle, kPoint, peer);
  if (outcome.rv != CKR_OK) return failure(outcome);
  const auto peerPoint = peer.find(CKA_EC_POINT);
  if (!peerPoint || rawPoint(*peerPoint).empty()) return Proof::Impossible;

  Temporary expected(candidate);
  Temporary found(candidate);
  outcome = derive(candidate, peerPrivate.handle, rawPoint(*ownPoint), expected.handle);
  if (outcome.rv == CKR_OK) outcome = derive(candidate, candidate.key, rawPoint(*peerPoint), found.handle);
  if (outcome.rv != CKR_OK) return failure(outcome);
  return proveSecretKey({candidate.member, candidate.session, expected.handle},
                        {candidate.member, candidate.session, found.handle});
}

Proof verify(const KeyOn& on, CK_OBJECT_HANDLE publicKey, CK_MECHANISM_TYPE type, std::span<CK_BYTE> data,
             SecureBytes& signature) {
  CK_MECHANISM mechanism{type, nullptr, 0};
  const auto whole = [&] {
    return run(on, makeCall<Fn::Verify>(on.session, data.data(), data.size(), signature.data(), signature.size()));
  };
  Outcome outcome = begin([&] { return run(on, makeCall<Fn::VerifyInit>(on.session, &mechanism, publicKey)); }, whole);
  if (outcome.rv != CKR_OK) return proofOf(failed(outcome));
  outcome = whole();
  if (outcome.rv == CKR_OK) return Proof::Same;
  if (outcome.rv == CKR_SIGNATURE_INVALID || outcome.rv == CKR_SIGNATURE_LEN_RANGE) return Proof::Different;
  if (!isLoss(outcome)) whole();
  return proofOf(failed(outcome));
}

}  // namespace

Proof proveSecretKey(const KeyOn& reference, const KeyOn& candidate) {
  auto salt = randomBytes(reference);
  if (!salt) return Proof::Unreachable;
  Proof found = Proof::Impossible;
  for (const Way& way : kWays) {
    const Produced expected = way.go(reference, way.type, *salt);
    // What the one refuses need not be asked of the other.
    const Produced got = expected.bytes ? way.go(candidate, way.type, *salt) : Produced{};
    const Proof proof = compare(expected, got);
    if (proof == Proof::Same || proof == Proof::Different || expected.lost || got.lost) return proof;
    // As long as a way may work another time, nothing is settled.
    if (proof == Proof::Unreachable) found = proof;
  }
  return found;
}

Proof proveSecretKey(const Witness& reference, const KeyOn& candidate) {
  // One that was read from a note may say anything.
  if (reference.way >= kWays.size() || reference.answer.empty()) return Proof::Impossible;
  std::array<CK_BYTE, 32> salt = reference.salt;
  const Way& way = kWays[reference.way];
  return compare({reference.answer}, way.go(candidate, way.type, salt));
}

std::optional<Witness> bearWitness(const KeyOn& key) {
  Witness witness;
  if (getentropy(witness.salt.data(), witness.salt.size()) != 0) return std::nullopt;
  for (std::array<CK_BYTE, 32> salt = witness.salt; witness.way < kWays.size(); ++witness.way) {
    const Way& way = kWays[witness.way];
    Produced answer = way.go(key, way.type, salt);
    if (!answer.bytes && !answer.refused) return std::nullopt;
    if (answer.bytes) {
      witness.answer = std::move(*answer.bytes);
      break;
    }
  }
  return witness;
}

base::Result<std::vector<std::uint8_t>, Proof> showPublicPart(const KeyOn& key, const Credentials* credentials) {
  static constexpr CK_ATTRIBUTE_TYPE kCurve[] = {CKA_EC_PARAMS};
  Template shown;
  const Outcome outcome = cryptoki::readAttributes(*key.member.token, key.session, key.key, kCurve, shown);
  const auto curve = shown.find(CKA_EC_PARAMS);
  if (outcome.rv != CKR_OK || !curve) return base::Failure{proofOf(failed(outcome))};

  std::vector<std::vector<std::uint8_t>> points;
  for (const bool isFirst : {true, false}) {
    auto challenge = randomBytes(key);
    if (!challenge) return base::Failure{Proof::Unreachable};
    const Produced signature = oneShot<Fn::SignInit, Fn::Sign>(key, CKM_ECDSA, *challenge, credentials);
    if (!signature.bytes) return base::Failure{proofOf(signature)};
    const auto possible = signersOf(*curve, *challenge, *signature.bytes);
    if (isFirst) {
      points = possible;
    } else {
      std::erase_if(points, [&](const auto& point) {
        return std::find(possible.begin(), possible.end(), point) == possible.end();
      });
    }
  }
  if (points.size() != 1) return base::Failure{Proof::Impossible};
  Template publicKey;
  publicKey.addUlong(CKA_CLASS, CKO_PUBLIC_KEY);
  publicKey.addUlong(CKA_KEY_TYPE, CKK_EC);
  publicKey.addBytes(CKA_EC_PARAMS, *curve);
  publicKey.addBytes(CKA_EC_POINT, points.front());
  return identify(publicKey).material;
}

Proof provePrivateKey(const Identity& identity, const KeyOn& candidate, const Credentials* credentials) {
  if (identity.material.empty()) return Proof::Impossible;
  auto challenge = randomBytes(candidate);
  if (!challenge) return Proof::Unreachable;
  const PublicKey expected(identity, candidate);
  if (expected.handle() == CK_INVALID_HANDLE) return expected.failure();

  const CK_MECHANISM_TYPE signing = identity.type == CKK_RSA          ? CKM_RSA_PKCS
                                    : identity.type == CKK_EC_EDWARDS ? CKM_EDDSA
                                                                      : CKM_ECDSA;
  Produced signature = oneShot<Fn::SignInit, Fn::Sign>(candidate, signing, *challenge, credentials);
  if (signature.bytes) return verify(candidate, expected.handle(), signing, *challenge, *signature.bytes);
  if (!signature.refused) return Proof::Unreachable;
  if (identity.type == CKK_EC) return proveByAgreement(identity, candidate);
  if (identity.type != CKK_RSA) return Proof::Impossible;

  const KeyOn encrypting{candidate.member, candidate.session, expected.handle()};
  Produced secret = oneShot<Fn::EncryptInit, Fn::Encrypt>(encrypting, CKM_RSA_PKCS, *challenge, nullptr);
  if (!secret.bytes) return proofOf(secret);
  const Produced opened = oneShot<Fn::DecryptInit, Fn::Decrypt>(candidate, CKM_RSA_PKCS, *secret.bytes, credentials);
  if (!opened.bytes) return proofOf(opened);
  return std::equal(opened.bytes->begin(), opened.bytes->end(), challenge->begin(), challenge->end())
             ? Proof::Same
             : Proof::Different;
}

}  // namespace p11ha::ha
