#include "ha/domain/admission.h"

#include <algorithm>
#include <array>
#include <memory>

#include "cryptoki/return_codes.h"
#include "ha/domain/hand_over.h"
#include "ha/domain/key_template.h"
#include "ha/domain/trial_mechanisms.h"

namespace p11ha::ha::domain {

using base::SecureBytes;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Outcome;
using cryptoki::Template;

namespace {

constexpr CK_ULONG kSecretBytes = 32;
constexpr std::array<std::uint8_t, 10> kP256 = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::array<std::uint8_t, 3> kExponent = {1, 0, 1};
constexpr std::array<std::uint8_t, 11> kTrialName = {'p', '1', '1', 'h', 'a', ' ', 't', 'r', 'i', 'a', 'l'};

bool isLost(const Outcome& outcome) {
  const auto rvClass = cryptoki::classify(outcome.rv);
  return outcome.fate != cryptoki::Fate::Answered || rvClass == cryptoki::RvClass::Gone ||
         rvClass == cryptoki::RvClass::SessionGone;
}

Template boolTemplate(CK_ATTRIBUTE_TYPE type, bool value) {
  Template one;
  one.addBool(type, value);
  return one;
}

Template trialNameTemplate(CK_ATTRIBUTE_TYPE type) {
  Template one;
  one.addBytes(type, kTrialName);
  return one;
}

// A way to ask for something else than UNWRAP_TEMPLATE says.
struct Twist {
  const char* words;
  void (*apply)(Template& wanted, const Kind& kind);
};

constexpr Twist kTwists[] = {
    {"it takes a sealed key back with SENSITIVE=false",
     [](Template& wanted, const Kind&) { wanted.setBool(CKA_SENSITIVE, false); }},
    {"it takes a sealed key back with SENSITIVE left out",
     [](Template& wanted, const Kind&) { wanted.erase(CKA_SENSITIVE); }},
    {"it takes a sealed key back with SENSITIVE given twice",
     [](Template& wanted, const Kind&) { wanted.addBool(CKA_SENSITIVE, false); }},
    {"it takes a sealed key back with SENSITIVE given twice",
     [](Template& wanted, const Kind&) {
       wanted.setBool(CKA_SENSITIVE, false);
       wanted.addBool(CKA_SENSITIVE, true);
     }},
    {"it takes a sealed key back with a SENSITIVE that has no value",
     [](Template& wanted, const Kind&) { wanted.setBytes(CKA_SENSITIVE, {}); }},
    {"it takes a sealed key back with WRAP_WITH_TRUSTED=false",
     [](Template& wanted, const Kind&) { wanted.setBool(CKA_WRAP_WITH_TRUSTED, false); }},
    {"it takes a sealed key back with WRAP_WITH_TRUSTED left out",
     [](Template& wanted, const Kind&) { wanted.erase(CKA_WRAP_WITH_TRUSTED); }},
    {"it takes a sealed key back with WRAP_WITH_TRUSTED given twice",
     [](Template& wanted, const Kind&) { wanted.addBool(CKA_WRAP_WITH_TRUSTED, false); }},
    {"it takes a sealed key back with PRIVATE=false",
     [](Template& wanted, const Kind&) { wanted.setBool(CKA_PRIVATE, false); }},
    {"it takes a sealed key back with PRIVATE left out",
     [](Template& wanted, const Kind&) { wanted.erase(CKA_PRIVATE); }},
    {"it takes a sealed key back with PRIVATE given twice",
     [](Template& wanted, const Kind&) { wanted.addBool(CKA_PRIVATE, false); }},
    {"it takes a sealed key back with another DERIVE",
     [](Template& wanted, const Kind& kind) { wanted.setBool(CKA_DERIVE, !kind.derive); }},
    {"it takes a sealed key back with DERIVE given twice",
     [](Template& wanted, const Kind& kind) { wanted.addBool(CKA_DERIVE, !kind.derive); }},
    {"it takes a sealed key back as one of another class",
     [](Template& wanted, const Kind& kind) {
       const bool secret = kind.carries == CKO_SECRET_KEY;
       wanted.setUlong(CKA_CLASS, secret ? CKO_PRIVATE_KEY : CKO_SECRET_KEY);
       wanted.setUlong(CKA_KEY_TYPE, secret ? CKK_EC : CKK_GENERIC_SECRET);
     }},
};

constexpr const char* kUntrustedWrap = "it lets an untrusted key wrap a WRAP_WITH_TRUSTED key";
constexpr const char* kUserTrusts = "it lets the user make a key TRUSTED";

// One examination of a token, by stages that each say whether to go on.
class Examiner {
 public:
  Examiner(TokenSession& session, const SecureBytes& userPin, const SecureBytes* officerPin)
      : session_(session), token_(session.token()), userPin_(userPin), officerPin_(officerPin), trials_(token_) {}

  Admission run() {
    if (!offersMechanisms()) return done(Admission::Verdict::Refused);
    if (!logIn(CKU_USER, userPin_, "the user's C_Login")) return done(Admission::Verdict::Refused);
    const bool tried = tryWithoutOfficer();
    if (!storesDomainKeys()) return done(Admission::Verdict::Refused);
    if (!tried || !result_.letThrough.empty()) return done(Admission::Verdict::OpenOnly);
    if (officerPin_ == nullptr) {
      result_.obstacle = "the PIN of its Security Officer is not at hand";
      return done(Admission::Verdict::OpenOnly);
    }
    if (!logIn(CKU_SO, *officerPin_, "the Security Officer's C_Login") || !makeDomainKeys() ||
        !logIn(CKU_USER, userPin_, "the user's C_Login")) {
      return done(Admission::Verdict::OpenOnly);
    }
    for (std::size_t i = 0; i < domainKeys_.size() && !failed(); ++i) tryUnder(i);
    if (!failed()) tryKeys("");
    if (!failed() && check(session_.logout(), "C_Logout")) tryKeys(" by nobody who is logged in");
    const bool admitted = !failed() && result_.letThrough.empty();
    return done(admitted ? Admission::Verdict::Admitted : Admission::Verdict::OpenOnly);
  }

 private:
  // A throw-away sealed key, and one that it is to carry.
  struct Sealed {
    Kind kind;
    CK_OBJECT_HANDLE domainKey = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE carried = CK_INVALID_HANDLE;
  };

  bool failed() const { return !result_.obstacle.empty(); }
  bool check(const Outcome& outcome, const std::string& what) {
    if (outcome.rv == CKR_OK) return true;
    Problem problem = answered(what, outcome);
    result_.obstacle = std::move(problem.text);
    result_.outcome = outcome;
    return false;
  }
  void foundThrough(const std::string& words) {
    if (std::find(result_.letThrough.begin(), result_.letThrough.end(), words) == result_.letThrough.end())
      result_.letThrough.push_back(words);
  }
  // An attempt that must be refused; true if it was not. A member that is lost in it has refused nothing.
  bool through(const Outcome& outcome, const std::string& words) {
    if (outcome.rv == CKR_OK) {
      foundThrough(words);
      return true;
    }
    if (isLost(outcome)) check(outcome, "while it was tried whether " + words + ", it");
    return false;
  }
  Admission done(Admission::Verdict verdict) {
    // What ends with the session anyway but need not wait for it.
    for (const CK_OBJECT_HANDLE object : made_) token_.destroy(object);
    session_.logout();
    if (isLost(result_.outcome)) verdict = Admission::Verdict::Refused;
    result_.verdict = verdict;
    return std::move(result_);
  }
  bool logIn(CK_USER_TYPE user, const SecureBytes& pin, const char* what) {
    return check(session_.login(user, pin), what);
  }
  CK_OBJECT_HANDLE kept(CK_OBJECT_HANDLE object) {
    made_.push_back(object);
    return object;
  }

  bool offers(CK_MECHANISM_TYPE type) const {
    CK_MECHANISM_INFO info{};
    return token_.mechanismInfo(type, info).rv == CKR_OK;
  }
  bool offersMechanisms() {
    static constexpr struct {
      CK_MECHANISM_TYPE type;
      const char* name;
    } kNeeded[] = {{CKM_AES_KEY_WRAP_PAD, "CKM_AES_KEY_WRAP_PAD"},
                   {CKM_AES_KEY_GEN, "CKM_AES_KEY_GEN"},
                   {CKM_RSA_PKCS_KEY_PAIR_GEN, "CKM_RSA_PKCS_KEY_PAIR_GEN"},
                   {CKM_RSA_PKCS_OAEP, "CKM_RSA_PKCS_OAEP"}};
    for (const auto& needed : kNeeded) {
      CK_MECHANISM_INFO info{};
      const Outcome told = token_.mechanismInfo(needed.type, info);
      if (told.rv == CKR_OK) continue;
      result_.obstacle = std::string("it does not offer ") + needed.name;
      if (isLost(told)) result_.outcome = told;
      return false;
    }
    return true;
  }

  Template carriedTemplate(const Kind& kind) const {
    Template wanted;
    wanted.addUlong(CKA_CLASS, kind.carries);
    wanted.addUlong(CKA_KEY_TYPE, kind.carries == CKO_SECRET_KEY ? CKK_AES
                                  : offers(CKM_EC_KEY_PAIR_GEN)  ? CKK_EC
                                                                 : CKK_RSA);
    wanted.addBool(CKA_TOKEN, false);
    wanted.addBool(CKA_PRIVATE, true);
    wanted.addBool(CKA_SENSITIVE, true);
    wanted.addBool(CKA_EXTRACTABLE, true);
    wanted.addBool(CKA_WRAP_WITH_TRUSTED, true);
    wanted.addBool(CKA_DERIVE, kind.derive);
    wanted.addBool(CKA_SIGN, !kind.derive);
    return wanted;
  }
  // A key of the shape that is sealed.
  bool makeCarried(const Kind& kind, CK_OBJECT_HANDLE& carried) {
    Template wanted = carriedTemplate(kind);
    wanted.erase(CKA_CLASS);
    const bool curve = wanted.ulong(CKA_KEY_TYPE) == CKK_EC;
    wanted.erase(CKA_KEY_TYPE);
    if (kind.carries == CKO_SECRET_KEY) {
      wanted.addUlong(CKA_VALUE_LEN, kSecretBytes);
      if (!check(token_.generateKey(CKM_AES_KEY_GEN, wanted, carried), "C_GenerateKey of a key to be carried"))
        return false;
      kept(carried);
      return true;
    }
    Template forPublic = boolTemplate(CKA_TOKEN, false);
    if (curve) {
      forPublic.addBytes(CKA_EC_PARAMS, kP256);
    } else {
      forPublic.addUlong(CKA_MODULUS_BITS, 2048);
      forPublic.addBytes(CKA_PUBLIC_EXPONENT, kExponent);
    }
    CK_OBJECT_HANDLE publicKey = CK_INVALID_HANDLE;
    if (!check(token_.generatePair(curve ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, forPublic, wanted,
                                   publicKey, carried),
               "C_GenerateKeyPair of a key to be carried")) {
      return false;
    }
    kept(publicKey);
    kept(carried);
    return true;
  }

  // A key of the user's own, of which everything may be known.
  Template ownTemplate() const {
    Template own;
    own.addUlong(CKA_CLASS, CKO_SECRET_KEY);
    own.addUlong(CKA_KEY_TYPE, CKK_AES);
    own.addBool(CKA_TOKEN, false);
    own.addBool(CKA_PRIVATE, true);
    own.addBool(CKA_WRAP, true);
    own.addBool(CKA_UNWRAP, true);
    own.addBool(CKA_ENCRYPT, true);
    own.addBool(CKA_DECRYPT, true);
    own.addBool(CKA_SENSITIVE, false);
    own.addBool(CKA_EXTRACTABLE, true);
    own.addBytes(CKA_VALUE, std::vector<std::uint8_t>(kSecretBytes, 1));
    return own;
  }

  bool tryWithoutOfficer() {
    if (!check(token_.create(ownTemplate(), own_), "C_CreateObject of a secret key")) return false;
    kept(own_);
    for (const Kind& kind : {Kind{Seal::Sealed, CKO_SECRET_KEY, false}, Kind{Seal::Sealed, CKO_PRIVATE_KEY, false}}) {
      CK_OBJECT_HANDLE carried = CK_INVALID_HANDLE;
      if (!makeCarried(kind, carried)) return false;
      tryUntrustedWrap(carried);
      tryCarried(carried);
      if (failed() || !carriedIsUsable(carried)) return false;
    }
    tryTrusting();
    return !failed();
  }

  // NSS softokn 3.87 makes such keys for a session and does not store their templates: it answers CKR_GENERAL_ERROR.
  // Tried with one that can be destroyed again.
  bool storesDomainKeys() {
    if (isLost(result_.outcome) || own_ == CK_INVALID_HANDLE) return false;
    CK_MECHANISM pad{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    SecureBytes wrapped;
    if (!check(token_.wrap(pad, own_, own_, wrapped), "C_WrapKey")) return false;
    Template wanted = domainKeyTemplate({}, {Seal::Open, CKO_SECRET_KEY, false}, Lifetime::Token);
    wanted.setBytes(CKA_LABEL, kTrialName);
    wanted.setBytes(CKA_ID, kTrialName);
    wanted.erase(CKA_MODIFIABLE);
    wanted.setBool(CKA_DESTROYABLE, true);
    CK_OBJECT_HANDLE stored = CK_INVALID_HANDLE;
    return check(token_.unwrap(pad, own_, wrapped, std::move(wanted), stored),
                 "C_UnwrapKey of a key with the templates of a domain key") &&
           check(token_.destroy(stored), "C_DestroyObject");
  }

  void tryUntrustedWrap(CK_OBJECT_HANDLE carried) {
    SecureBytes wrapped;
    CK_MECHANISM pad{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    through(token_.wrap(pad, own_, carried, wrapped), kUntrustedWrap);
    for (const TrialMechanism& trial : trials_.ofAes()) {
      if ((trial.uses & CKF_WRAP) == 0) continue;
      CK_MECHANISM mechanism = trial.mechanism;
      through(token_.wrap(mechanism, own_, carried, wrapped), kUntrustedWrap);
    }
  }

  // What would make a sealed key less than sealed.
  void tryCarried(CK_OBJECT_HANDLE carried) {
    static constexpr struct {
      CK_ATTRIBUTE_TYPE type;
      bool value;
      const char* words;
    } kChanges[] = {{CKA_SENSITIVE, false, "clears SENSITIVE"},
                    {CKA_WRAP_WITH_TRUSTED, false, "clears WRAP_WITH_TRUSTED"},
                    {CKA_PRIVATE, false, "clears PRIVATE"},
                    {CKA_TRUSTED, true, "sets TRUSTED"}};
    for (const auto& change : kChanges) {
      const std::string what = std::string(change.words) + " of a sealed key";
      // Some answer CKR_OK and leave it as it was.
      const Outcome changed = token_.change(carried, boolTemplate(change.type, change.value));
      if (changed.rv != CKR_OK || isNow(carried, change.type, change.value))
        through(changed, "its C_SetAttributeValue " + what);
      CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
      const Outcome copied = token_.copy(carried, boolTemplate(change.type, change.value), copy);
      if (copied.rv != CKR_OK || isNow(copy, change.type, change.value)) through(copied, "its C_CopyObject " + what);
      if (copied.rv == CKR_OK) kept(copy);
    }
  }

  // What p11ha itself does with a key before it is where it belongs.
  bool carriedIsUsable(CK_OBJECT_HANDLE carried) {
    if (!check(token_.change(carried, trialNameTemplate(CKA_LABEL)), "C_SetAttributeValue of a sealed key's label") ||
        !check(token_.change(carried, trialNameTemplate(CKA_ID)), "C_SetAttributeValue of a sealed key's ID")) {
      return false;
    }
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    if (!check(token_.copy(carried, boolTemplate(CKA_TOKEN, true), copy), "C_CopyObject of a sealed key to the token"))
      return false;
    if (check(token_.destroy(copy), "C_DestroyObject of a copied key")) return true;
    kept(copy);
    return false;
  }

  void tryTrusting() {
    CK_OBJECT_HANDLE trusted = CK_INVALID_HANDLE;
    const auto tried = [&](const Outcome& outcome) {
      if (outcome.rv == CKR_OK && trusted != CK_INVALID_HANDLE) kept(trusted);
      if (outcome.rv == CKR_OK && !isNow(trusted, CKA_TRUSTED, true)) return;  // it has left that out
      through(outcome, kUserTrusts);
    };
    Template wanted = ownTemplate();
    wanted.addBool(CKA_TRUSTED, true);
    tried(token_.create(wanted, trusted));
    wanted.erase(CKA_VALUE);
    wanted.erase(CKA_CLASS);
    wanted.erase(CKA_KEY_TYPE);
    wanted.addUlong(CKA_VALUE_LEN, kSecretBytes);
    tried(token_.generateKey(CKM_AES_KEY_GEN, wanted, trusted));
    tried(token_.copy(own_, boolTemplate(CKA_TRUSTED, true), trusted));
    SecureBytes wrapped;
    CK_MECHANISM pad{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    if (token_.wrap(pad, own_, own_, wrapped).rv == CKR_OK) {
      wanted = ownTemplate();
      wanted.erase(CKA_VALUE);
      wanted.addBool(CKA_TRUSTED, true);
      tried(token_.unwrap(pad, own_, wrapped, wanted, trusted));
    }
    const Outcome changed = token_.change(own_, boolTemplate(CKA_TRUSTED, true));
    if (changed.rv != CKR_OK || isNow(own_, CKA_TRUSTED, true)) through(changed, kUserTrusts);
  }

  // As far as it shows.
  bool isNow(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, bool value) const {
    Template read;
    token_.read(object, {&type, 1}, read);
    return read.boolean(type).value_or(value) == value;
  }

  // Sealed keys in every respect, the way to the token included, but that they are session objects.
  bool makeDomainKeys() {
    HandOverPair pair(token_, false);
    if (const auto problem = pair.make()) return check(problem->outcome, "C_GenerateKeyPair for the hand-over");
    for (const Kind& kind : kKinds) {
      if (kind.seal != Seal::Sealed) continue;
      CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
      if (!check(token_.generateKey(CKM_AES_KEY_GEN, handedOverTemplate(true), key), "C_GenerateKey of a domain key"))
        return false;
      auto handed = handOver(token_, {&key, 1}, pair.material(), true);
      token_.destroy(key);
      if (!handed) {
        result_.obstacle = handed.error().text;
        result_.outcome = handed.error().outcome;
        return false;
      }
      Sealed& sealed = domainKeys_.emplace_back();
      sealed.kind = kind;
      if (!check(pair.take(handed->front(), domainKeyTemplate({}, kind, Lifetime::Session), sealed.domainKey),
                 "C_UnwrapKey of a domain key")) {
        return false;
      }
    }
    return true;
  }

  void tryUnder(std::size_t index) {
    Sealed& sealed = domainKeys_[index];
    CK_MECHANISM pad{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    SecureBytes wrapped;
    CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
    const std::string kind = nameOf(sealed.kind);
    if (!makeCarried(sealed.kind, sealed.carried)) return;
    // What is honest works.
    if (!check(token_.wrap(pad, sealed.domainKey, sealed.carried, wrapped), "C_WrapKey by a domain key " + kind) ||
        !check(token_.unwrap(pad, sealed.domainKey, wrapped, carriedTemplate(sealed.kind), back),
               "C_UnwrapKey by a domain key " + kind)) {
      return;
    }
    if (!staysSealed(back, sealed.kind)) foundThrough("a sealed key that comes back honestly is not sealed");
    tryCarried(kept(back));
    tryTwists(sealed, wrapped);
    tryOtherMechanisms(sealed, wrapped);
    tryWrappingOthers(index);
    tryShortDerivations(sealed);
  }

  // As a user asks for it, yet the token may have put it right.
  bool staysSealed(CK_OBJECT_HANDLE key, const Kind& kind) const {
    static constexpr CK_ATTRIBUTE_TYPE kSeals[] = {CKA_CLASS, CKA_SENSITIVE, CKA_WRAP_WITH_TRUSTED, CKA_PRIVATE,
                                                   CKA_DERIVE};
    Template read;
    token_.read(key, kSeals, read);
    return read.ulong(CKA_CLASS) == kind.carries && read.boolean(CKA_SENSITIVE) == true &&
           read.boolean(CKA_WRAP_WITH_TRUSTED) == true && read.boolean(CKA_PRIVATE) == true &&
           read.boolean(CKA_DERIVE) == kind.derive;
  }

  void tryTwists(const Sealed& sealed, SecureBytes& wrapped) {
    for (const Twist& twist : kTwists) {
      Template wanted = carriedTemplate(sealed.kind);
      twist.apply(wanted, sealed.kind);
      unwrapTwisted({CKM_AES_KEY_WRAP_PAD, nullptr, 0}, sealed, wrapped, std::move(wanted), twist.words);
    }
  }
  void unwrapTwisted(CK_MECHANISM mechanism, const Sealed& sealed, SecureBytes& wrapped, Template wanted,
                     const std::string& words) {
    CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
    const Outcome outcome = token_.unwrap(mechanism, sealed.domainKey, wrapped, std::move(wanted), back);
    if (outcome.rv != CKR_OK || !staysSealed(back, sealed.kind)) through(outcome, words);
    if (outcome.rv == CKR_OK) kept(back);
  }

  void tryOtherMechanisms(const Sealed& sealed, SecureBytes& wrapped) {
    for (const TrialMechanism& trial : trials_.ofAes()) {
      SecureBytes other;
      CK_MECHANISM mechanism = trial.mechanism;
      if ((trial.uses & CKF_WRAP) != 0) {
        through(token_.wrap(mechanism, sealed.domainKey, sealed.carried, other),
                "it lets a domain key wrap by another mechanism");
      }
      if ((trial.uses & CKF_UNWRAP) == 0) continue;
      mechanism = trial.mechanism;
      CK_OBJECT_HANDLE back = CK_INVALID_HANDLE;
      const Outcome outcome = token_.unwrap(mechanism, sealed.domainKey, wrapped, carriedTemplate(sealed.kind), back);
      if (through(outcome, "it lets a domain key unwrap by another mechanism")) kept(back);
    }
  }

  void tryWrappingOthers(std::size_t index) {
    const Sealed& with = domainKeys_[index];
    CK_MECHANISM pad{CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    SecureBytes wrapped;
    for (const Sealed& other : domainKeys_) {
      through(token_.wrap(pad, with.domainKey, other.domainKey, wrapped),
              other.domainKey == with.domainKey ? "it lets a domain key wrap itself"
                                                : "it lets a domain key wrap another domain key");
      if (other.carried == CK_INVALID_HANDLE || other.domainKey == with.domainKey) continue;
      through(token_.wrap(pad, with.domainKey, other.carried, wrapped),
              other.kind.carries != with.kind.carries ? "it lets a domain key wrap a key of another class"
                                                      : "it lets a domain key wrap a key of another DERIVE");
    }
  }

  void tryShortDerivations(const Sealed& sealed) {
    if (!sealed.kind.derive || sealed.kind.carries != CKO_SECRET_KEY) return;
    for (const TrialMechanism& trial : trials_.shortDerivations()) {
      if ((trial.uses & CKF_DERIVE) == 0) continue;
      Template wanted;
      wanted.addUlong(CKA_CLASS, CKO_SECRET_KEY);
      wanted.addUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
      wanted.addUlong(CKA_VALUE_LEN, 1);
      wanted.addBool(CKA_TOKEN, false);
      wanted.addBool(CKA_SIGN, true);
      CK_MECHANISM mechanism = trial.mechanism;
      CK_OBJECT_HANDLE derived = CK_INVALID_HANDLE;
      const Outcome outcome = token_.member.execute(
          makeCall<Fn::DeriveKey>(token_.session, &mechanism, sealed.carried, wanted.data(), wanted.count(), &derived));
      if (through(outcome, "it derives a key of one byte from a sealed one")) kept(derived);
    }
  }

  // The domain keys as objects; `whom` ends the words.
  void tryKeys(const std::string& whom) {
    for (const Sealed& sealed : domainKeys_) {
      tryChanging(sealed, whom);
      tryUsing(sealed, whom);
      through(token_.destroy(sealed.domainKey), "it lets a domain key be destroyed" + whom);
      if (failed()) return;
    }
  }

  void tryChanging(const Sealed& sealed, const std::string& whom) {
    std::vector<Template> changes;
    for (const CK_ATTRIBUTE_TYPE type : {CKA_LABEL, CKA_ID}) changes.push_back(trialNameTemplate(type));
    for (const CK_ATTRIBUTE_TYPE type : {CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_EXTRACTABLE,
                                         CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_PRIVATE}) {
      changes.push_back(boolTemplate(type, true));
    }
    for (const CK_ATTRIBUTE_TYPE type : {CKA_SENSITIVE, CKA_TRUSTED, CKA_WRAP, CKA_UNWRAP})
      changes.push_back(boolTemplate(type, false));
    for (const CK_ATTRIBUTE_TYPE type : {CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE})
      changes.emplace_back().addTemplate(type, boolTemplate(CKA_SENSITIVE, false));
    static constexpr CK_MECHANISM_TYPE kMore[] = {CKM_AES_KEY_WRAP_PAD, CKM_AES_ECB};
    changes.emplace_back().addUlongs(CKA_ALLOWED_MECHANISMS, kMore);
    for (const Template& change : changes) {
      through(token_.change(sealed.domainKey, change), "its C_SetAttributeValue changes a domain key" + whom);
      tryCopying(sealed, change, whom);
    }
    tryCopying(sealed, {}, whom);
    tryCopying(sealed, boolTemplate(CKA_TOKEN, false), whom);
  }
  void tryCopying(const Sealed& sealed, const Template& change, const std::string& whom) {
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    if (through(token_.copy(sealed.domainKey, change, copy), "its C_CopyObject copies a domain key" + whom)) kept(copy);
  }

  void tryUsing(const Sealed& sealed, const std::string& whom) {
    for (const TrialMechanism& trial : trials_.ofAes()) {
      tryInit<Fn::EncryptInit>(sealed, trial, CKF_ENCRYPT, "it encrypts with a domain key" + whom);
      tryInit<Fn::DecryptInit>(sealed, trial, CKF_DECRYPT, "it decrypts with a domain key" + whom);
      tryInit<Fn::SignInit>(sealed, trial, CKF_SIGN, "it signs with a domain key" + whom);
      tryDeriving(sealed, trial, whom);
    }
    for (const TrialMechanism& trial : trials_.shortDerivations()) tryDeriving(sealed, trial, whom);
  }
  // In a session of its own, as what it begins is not to be ended otherwise.
  template <Fn F>
  void tryInit(const Sealed& sealed, const TrialMechanism& trial, CK_FLAGS use, const std::string& words) {
    if ((trial.uses & use) == 0) return;
    TokenSession other(token_.member);
    if (!check(other.open(), "C_OpenSession")) return;
    CK_MECHANISM mechanism = trial.mechanism;
    through(token_.member.execute(makeCall<F>(other.token().session, &mechanism, sealed.domainKey)), words);
  }
  void tryDeriving(const Sealed& sealed, const TrialMechanism& trial, const std::string& whom) {
    if ((trial.uses & CKF_DERIVE) == 0) return;
    Template wanted;
    wanted.addUlong(CKA_CLASS, CKO_SECRET_KEY);
    wanted.addUlong(CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    wanted.addUlong(CKA_VALUE_LEN, 16);
    wanted.addBool(CKA_TOKEN, false);
    wanted.addBool(CKA_PRIVATE, false);
    CK_MECHANISM mechanism = trial.mechanism;
    CK_OBJECT_HANDLE derived = CK_INVALID_HANDLE;
    const Outcome outcome = token_.member.execute(
        makeCall<Fn::DeriveKey>(token_.session, &mechanism, sealed.domainKey, wanted.data(), wanted.count(), &derived));
    if (through(outcome, "it derives a key from a domain key" + whom)) kept(derived);
  }

  TokenSession& session_;
  const OnToken token_;
  const SecureBytes& userPin_;
  const SecureBytes* const officerPin_;
  const TrialMechanisms trials_;
  Admission result_;
  CK_OBJECT_HANDLE own_ = CK_INVALID_HANDLE;  // a key of the user's own
  std::vector<Sealed> domainKeys_;
  std::vector<CK_OBJECT_HANDLE> made_;
};

}  // namespace

Admission examine(TokenSession& session, const SecureBytes& userPin, const SecureBytes* officerPin) {
  return Examiner(session, userPin, officerPin).run();
}

}  // namespace p11ha::ha::domain
