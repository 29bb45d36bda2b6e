// A mechanism in every use that it is offered for, in one part and in several, with the wrong key and without its
// parameter (PKCS #11 v3.0, 5.8 to 5.18).
#include "tests/conformance/script/mechanisms.h"
#include "tests/conformance/chapters/scenario.h"

#include <stdexcept>

#include "cryptoki/mechanism.h"

namespace p11ha::conformance {

using cryptoki::Fn;

namespace {

CK_MECHANISM_TYPE typeNamed(const std::string& name) {
  for (const auto& info : cryptoki::allMechanisms()) {
    if (info.name == name) return info.type;
  }
  const std::string prefix = "mechanism ";  // of one without a name
  if (name.starts_with(prefix)) return std::stoul(name.substr(prefix.size()), nullptr, 0);
  throw std::out_of_range("no mechanism \"" + name + "\"");
}

// The functions of one use.
struct Functions {
  Fn init;
  Fn whole;
  Fn update;
  Fn final;
};
constexpr Functions kEncrypt{Fn::EncryptInit, Fn::Encrypt, Fn::EncryptUpdate, Fn::EncryptFinal};
constexpr Functions kDecrypt{Fn::DecryptInit, Fn::Decrypt, Fn::DecryptUpdate, Fn::DecryptFinal};
constexpr Functions kSign{Fn::SignInit, Fn::Sign, Fn::SignUpdate, Fn::SignFinal};
constexpr Functions kVerify{Fn::VerifyInit, Fn::Verify, Fn::VerifyUpdate, Fn::VerifyFinal};
constexpr Functions kDigest{Fn::DigestInit, Fn::Digest, Fn::DigestUpdate, Fn::DigestFinal};
constexpr Functions kSignRecover{Fn::SignRecoverInit, Fn::SignRecover, Fn::SignRecover, Fn::SignRecover};
constexpr Functions kVerifyRecover{Fn::VerifyRecoverInit, Fn::VerifyRecover, Fn::VerifyRecover, Fn::VerifyRecover};

constexpr CK_ULONG kRoom = 1024;

class Trial {
 public:
  Trial(Client& client, CK_MECHANISM_TYPE type, const std::string& name)
      : client_(client), type_(type), use_(useOf(type, name)) {
    client_.begin();
    home_ = client_.open("home");
    session_ = home_;
    client_.login(home_);
    keys_ = std::make_unique<Keys>(client_, home_, false);
    client_.section("keys");
    for (const std::string& key : {use_.publicKey, use_.privateKey, use_.wrongKey, std::string("aes 2")}) (*keys_)[key];
  }

  void run() {
    CK_MECHANISM_INFO info{};
    client_.call<Fn::GetMechanismInfo>({}, client_.slot(), type_, &info);
    if ((info.flags & CKF_DIGEST) != 0) digest();
    if ((info.flags & (CKF_ENCRYPT | CKF_DECRYPT)) != 0) cipher();
    if ((info.flags & (CKF_SIGN | CKF_VERIFY)) != 0) signature();
    if ((info.flags & (CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER)) != 0) recovery();
    if ((info.flags & (CKF_WRAP | CKF_UNWRAP)) != 0) wrapping();
    if ((info.flags & CKF_GENERATE) != 0) generate();
    if ((info.flags & CKF_GENERATE_KEY_PAIR) != 0) generatePair();
    if ((info.flags & CKF_DERIVE) != 0) derive();
    notOffered(info.flags);
  }

 private:
  CK_RV begin(Fn init, const std::string& key, const MechanismSpec& spec, const std::string& what) {
    Prepared prepared(init, {what, false, {}, {}});
    prepared.value(0, session_).mechanism(1, spec);
    if (!key.empty()) prepared.value(2, (*keys_)[key]);
    return client_.call(prepared);
  }
  CK_RV begin(Fn init, const std::string& key) { return begin(init, key, use_.spec, ""); }

  // One part: asked for its length, with too little room, then with enough; what came out.
  Bytes whole(Fn fn, const Bytes& data, bool random, const std::string& what) {
    Prepared prepared(fn, {what + "size query", random, {}, {}});
    prepared.value(0, session_).in(1, data).query(3);
    client_.call(prepared);
    const CK_ULONG told = prepared.length(3);
    prepared.note.situation = what + "room for one byte";
    client_.call(prepared.out(3, 1));
    prepared.note.situation = what + "enough room";
    const CK_RV rv = client_.call(prepared.out(3, std::max(told, kRoom)));
    return rv == CKR_OK ? prepared.taken(3) : Bytes();
  }

  // In three parts, the middle one empty; the pieces joined.
  Bytes parts(const Functions& functions, const Bytes& data, bool random, bool outputs) {
    Bytes all;
    const std::size_t cut = std::min<std::size_t>(data.size(), 17);
    const Bytes pieces[] = {{data.begin(), data.begin() + static_cast<std::ptrdiff_t>(cut)},
                            {},
                            {data.begin() + static_cast<std::ptrdiff_t>(cut), data.end()}};
    for (const Bytes& piece : pieces) {
      Prepared prepared(functions.update, {std::to_string(piece.size()) + " bytes", random, {}, {}});
      prepared.value(0, session_).in(1, piece);
      if (outputs) prepared.out(3, kRoom);
      if (client_.call(prepared) == CKR_OK && outputs) append(all, prepared.taken(3));
    }
    if (functions.final == Fn::VerifyFinal) return all;
    Prepared prepared(functions.final, {"size query", random, {}, {}});
    client_.call(prepared.value(0, session_).query(1));
    prepared.note.situation = "room for nothing";
    client_.call(prepared.out(1, 0));
    prepared.note.situation = "enough room";
    if (client_.call(prepared.out(1, kRoom)) == CKR_OK) append(all, prepared.taken(1));
    return all;
  }
  static void append(Bytes& all, const Bytes& more) { all.insert(all.end(), more.begin(), more.end()); }

  // An operation left over would make the next refuse to begin.
  void section(const std::string& name) {
    client_.section(name);
    const CK_SESSION_HANDLE before = session_;
    session_ = client_.open("fresh");
    if (before != home_) client_.close(before);
  }

  void beginnings(const Functions& functions, const std::string& key, const std::string& name) {
    section(name + " with the wrong key");
    begin(functions.init, use_.wrongKey, use_.spec, "the wrong key");
    section(name + " with another parameter");
    begin(functions.init, key, MechanismSpec(type_), "no parameter");
    section(name + " with too much of a parameter");
    begin(functions.init, key, MechanismSpec(type_, counting(100)), "100 bytes of parameter");
    section(name + " twice");
    begin(functions.init, key);
    begin(functions.init, key);
  }

  void digest() {
    section("digest");
    if (begin(kDigest.init, "") == CKR_OK) whole(kDigest.whole, use_.data, false, "");
    section("digest in parts");
    if (begin(kDigest.init, "") == CKR_OK) parts(kDigest, use_.data, false, false);
    section("digest of a key");
    if (begin(kDigest.init, "") == CKR_OK) {
      client_.call<Fn::DigestKey>({}, session_, (*keys_)["generic"]);
      parts(kDigest, use_.data, false, false);
    }
    section("digest of nothing");
    if (begin(kDigest.init, "") == CKR_OK) whole(kDigest.whole, {}, false, "");
  }

  void cipher() {
    // RSA PKCS #1 pads with random bytes where it encrypts; nothing else that is random here signs and encrypts.
    const bool random = use_.random || type_ == CKM_RSA_PKCS;
    section("encrypt");
    Bytes secret;
    if (begin(kEncrypt.init, use_.publicKey) == CKR_OK) secret = whole(kEncrypt.whole, use_.data, random, "");
    section("decrypt");
    if (begin(kDecrypt.init, use_.privateKey) == CKR_OK) whole(kDecrypt.whole, secret, false, "");
    section("decrypt damaged");
    Bytes damaged = secret;
    if (!damaged.empty()) damaged.back() ^= 1;
    // What a block cipher makes of it is as good as random, and a padded one may by chance be well-formed.
    if (begin(kDecrypt.init, use_.privateKey) == CKR_OK) whole(kDecrypt.whole, damaged, random, "damaged, ");
    section("decrypt cut");
    if (begin(kDecrypt.init, use_.privateKey) == CKR_OK) {
      whole(kDecrypt.whole, {secret.begin(), secret.begin() + static_cast<std::ptrdiff_t>(secret.size() / 3)}, random,
            "cut, ");
    }
    section("encrypt in parts");
    Bytes inParts;
    if (begin(kEncrypt.init, use_.publicKey) == CKR_OK) inParts = parts(kEncrypt, use_.data, random, true);
    section("decrypt in parts");
    if (begin(kDecrypt.init, use_.privateKey) == CKR_OK) parts(kDecrypt, secret, false, true);
    section("encrypt an odd length");
    if (begin(kEncrypt.init, use_.publicKey) == CKR_OK) whole(kEncrypt.whole, counting(13), random, "13 bytes, ");
    section("encrypt nothing");
    if (begin(kEncrypt.init, use_.publicKey) == CKR_OK) whole(kEncrypt.whole, {}, random, "nothing, ");
    beginnings(kEncrypt, use_.publicKey, "encrypt");
    beginnings(kDecrypt, use_.privateKey, "decrypt");
  }

  void verify(const std::string& name, const Bytes& data, const Bytes& signature) {
    section("verify " + name);
    if (begin(kVerify.init, use_.publicKey) != CKR_OK) return;
    Prepared prepared(kVerify.whole, {name, false, {}, {}});
    client_.call(prepared.value(0, session_).in(1, data).in(3, signature));
  }

  void signature() {
    section("sign");
    Bytes made;
    if (begin(kSign.init, use_.privateKey) == CKR_OK) made = whole(kSign.whole, use_.data, use_.random, "");
    verify("the signature", use_.data, made);
    Bytes damaged = made;
    if (!damaged.empty()) damaged.back() ^= 1;
    verify("a damaged signature", use_.data, damaged);
    Bytes cut = made;
    if (!cut.empty()) cut.pop_back();
    verify("a signature too short", use_.data, cut);
    verify("other data", counting(use_.data.size() / 2), made);
    section("sign in parts");
    Bytes inParts;
    if (begin(kSign.init, use_.privateKey) == CKR_OK) inParts = parts(kSign, use_.data, use_.random, false);
    section("verify in parts");
    if (begin(kVerify.init, use_.publicKey) == CKR_OK) {
      parts(kVerify, use_.data, false, false);
      Prepared prepared(kVerify.final);
      client_.call(prepared.value(0, session_).in(1, inParts.empty() ? made : inParts));
    }
    section("sign long data");
    if (begin(kSign.init, use_.privateKey) == CKR_OK) whole(kSign.whole, counting(300), use_.random, "300 bytes, ");
    section("sign nothing");
    if (begin(kSign.init, use_.privateKey) == CKR_OK) whole(kSign.whole, {}, use_.random, "nothing, ");
    beginnings(kSign, use_.privateKey, "sign");
    beginnings(kVerify, use_.publicKey, "verify");
  }

  void recovery() {
    section("sign recover");
    Bytes made;
    if (begin(kSignRecover.init, use_.privateKey) == CKR_OK) made = whole(kSignRecover.whole, use_.data, false, "");
    section("verify recover");
    if (begin(kVerifyRecover.init, use_.publicKey) == CKR_OK) whole(kVerifyRecover.whole, made, false, "");
    beginnings(kSignRecover, use_.privateKey, "sign recover");
  }

  void wrapping() {
    const bool random = use_.random || type_ == CKM_RSA_PKCS;
    section("wrap");
    Prepared wrap(Fn::WrapKey, {"size query", random, {}, {}});
    wrap.value(0, session_)
        .mechanism(1, use_.spec)
        .value(2, (*keys_)[use_.publicKey])
        .value(3, (*keys_)["aes 2"])
        .query(4);
    client_.call(wrap);
    wrap.note.situation = "room for one byte";
    client_.call(wrap.out(4, 1));
    wrap.note.situation = "enough room";
    Bytes wrapped;
    if (client_.call(wrap.out(4, kRoom)) == CKR_OK) wrapped = wrap.taken(4);
    wrap.note.situation = "with the wrong key";
    client_.call(wrap.value(2, (*keys_)[use_.wrongKey]));
    section("unwrap");
    const auto unwrap = [&](const std::string& what, const std::string& key, const Bytes& data) {
      Prepared prepared(Fn::UnwrapKey, {what, false, what, {}});
      prepared.value(0, session_).mechanism(1, use_.spec).value(2, (*keys_)[key]).in(3, data);
      Attributes wanted = use_.generatedPrivate;
      wanted.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_AES);
      prepared.attributes(5, wanted).memory<CK_ULONG>(7);
      if (client_.call(prepared) == CKR_OK) read(prepared.handle(7), "unwrapped key", false);
    };
    unwrap("unwrapped", use_.privateKey, wrapped);
    unwrap("with the wrong key", use_.wrongKey, wrapped);
    Bytes damaged = wrapped;
    if (!damaged.empty()) damaged.back() ^= 1;
    if (type_ != CKM_RSA_PKCS) unwrap("damaged", use_.privateKey, damaged);
  }

  void read(CK_OBJECT_HANDLE key, const std::string& what, bool random) {
    for (const CK_ATTRIBUTE_TYPE type :
         {CKA_VALUE, CKA_VALUE_LEN, CKA_CHECK_VALUE, CKA_MODULUS, CKA_EC_POINT, CKA_PRIME}) {
      Prepared prepared(Fn::GetAttributeValue, {what, random, {}, {}});
      client_.call(prepared.value(0, session_).value(1, key).wanted(2, {{type, 600}}));
    }
    Prepared prepared(Fn::GetAttributeValue, {what + " flags", false, {}, {}});
    client_.call(prepared.value(0, session_)
                     .value(1, key)
                     .wanted(2, {{CKA_CLASS, 8},
                                 {CKA_KEY_TYPE, 8},
                                 {CKA_LOCAL, 1},
                                 {CKA_VALUE_LEN, 8},
                                 {CKA_MODULUS_BITS, 8},
                                 {CKA_KEY_GEN_MECHANISM, 8},
                                 {CKA_SENSITIVE, 1},
                                 {CKA_EXTRACTABLE, 1},
                                 {CKA_ALWAYS_SENSITIVE, 1},
                                 {CKA_NEVER_EXTRACTABLE, 1}}));
  }

  void generate() {
    const auto with = [&](const std::string& what, const Attributes& wanted) {
      section("generate " + what);
      Prepared prepared(Fn::GenerateKey, {what, true, what, {}});
      prepared.value(0, session_).mechanism(1, use_.spec).attributes(2, wanted).memory<CK_ULONG>(4);
      if (client_.call(prepared) == CKR_OK) read(prepared.handle(4), "generated key", true);
    };
    with("a session key", use_.generated);
    with("a token key", use_.generated.without(CKA_TOKEN).flag(CKA_TOKEN));
    with("a key of no length", use_.generated.without(CKA_VALUE_LEN).without(CKA_PRIME_BITS));
    with("a key of an odd length", use_.generated.without(CKA_VALUE_LEN).number(CKA_VALUE_LEN, 5));
    with("a key of the wrong class", Attributes(use_.generated).number(CKA_CLASS, CKO_DATA));
    with("a sensitive key", use_.generated.without(CKA_SENSITIVE).flag(CKA_SENSITIVE));
    with("a key that stays", use_.generated.without(CKA_EXTRACTABLE).flag(CKA_EXTRACTABLE, false));
  }

  void generatePair() {
    const auto with = [&](const std::string& what, const Attributes& publicKey, const Attributes& privateKey) {
      section("generate " + what);
      Prepared prepared(Fn::GenerateKeyPair, {what, true, what, what + " too"});
      prepared.value(0, session_).mechanism(1, use_.spec).attributes(2, publicKey).attributes(4, privateKey);
      prepared.memory<CK_ULONG>(6);
      prepared.memory<CK_ULONG>(7);
      if (client_.call(prepared) != CKR_OK) return;
      read(prepared.handle(6), "public key", true);
      read(prepared.handle(7), "private key", true);
    };
    const Attributes token = Attributes().flag(CKA_TOKEN);
    with("a session pair", use_.generated, use_.generatedPrivate);
    with("a token pair", use_.generated.without(CKA_TOKEN).add(token),
         use_.generatedPrivate.without(CKA_TOKEN).add(token));
    with("a pair that stays", use_.generated,
         use_.generatedPrivate.without(CKA_EXTRACTABLE).flag(CKA_EXTRACTABLE, false));
    with("a pair from nothing", Attributes().flag(CKA_TOKEN, false), use_.generatedPrivate);
    with("a pair of the wrong class", Attributes(use_.generated).number(CKA_CLASS, CKO_DATA), use_.generatedPrivate);
  }

  void derive() {
    const auto with = [&](const std::string& what, const std::string& key, const MechanismSpec& spec,
                          const Attributes& wanted) {
      section("derive " + what);
      Prepared prepared(Fn::DeriveKey, {what, false, what, {}});
      prepared.value(0, session_).mechanism(1, spec).value(2, (*keys_)[key]).attributes(3, wanted).memory<CK_ULONG>(5);
      if (client_.call(prepared) == CKR_OK) read(prepared.handle(5), "derived key", false);
    };
    Attributes wanted = use_.generatedPrivate;
    wanted.number(CKA_CLASS, CKO_SECRET_KEY).number(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    with("a secret", use_.privateKey, use_.spec, Attributes(wanted).number(CKA_VALUE_LEN, 16));
    with("a secret of no length", use_.privateKey, use_.spec, wanted);
    with("an AES key", use_.privateKey, use_.spec,
         wanted.without(CKA_KEY_TYPE).number(CKA_KEY_TYPE, CKK_AES).number(CKA_VALUE_LEN, 16));
    with("too long a secret", use_.privateKey, use_.spec, Attributes(wanted).number(CKA_VALUE_LEN, 5000));
    with("with the wrong key", use_.wrongKey, use_.spec, Attributes(wanted).number(CKA_VALUE_LEN, 16));
    with("without a parameter", use_.privateKey, MechanismSpec(type_), Attributes(wanted).number(CKA_VALUE_LEN, 16));
  }

  // What it is not offered for.
  void notOffered(CK_FLAGS flags) {
    section("not offered");
    if ((flags & CKF_ENCRYPT) == 0) begin(Fn::EncryptInit, use_.publicKey, use_.spec, "not offered");
    if ((flags & CKF_DECRYPT) == 0) begin(Fn::DecryptInit, use_.privateKey, use_.spec, "not offered");
    if ((flags & CKF_SIGN) == 0) begin(Fn::SignInit, use_.privateKey, use_.spec, "not offered");
    if ((flags & CKF_VERIFY) == 0) begin(Fn::VerifyInit, use_.publicKey, use_.spec, "not offered");
    if ((flags & CKF_DIGEST) == 0) begin(Fn::DigestInit, "", use_.spec, "not offered");
  }

  Client& client_;
  const CK_MECHANISM_TYPE type_;
  const MechanismUse use_;
  CK_SESSION_HANDLE home_ = 0;  // has the keys
  CK_SESSION_HANDLE session_ = 0;
  std::unique_ptr<Keys> keys_;
};

}  // namespace

Scenario mechanismScenario(const std::string& name) {
  const CK_MECHANISM_TYPE type = typeNamed(name);
  return {mechanismScenarioName(name), [type, name](Client& client) { Trial(client, type, name).run(); }};
}

}  // namespace p11ha::conformance
