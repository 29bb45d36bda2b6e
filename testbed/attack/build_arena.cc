// What the Security Officer does: everything that is there before the attacks begin.
#include <array>
#include <stdexcept>

#include "cryptoki/local_module.h"
#include "cryptoki/modules.h"
#include "cryptoki/return_codes.h"
#include "cryptoki/text.h"
#include "ha/domain/domain.h"
#include "ha/domain/key_template.h"
#include "testbed/attack/ground.h"

namespace p11ha::attack {

using base::SecureBytes;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::Template;
using ha::domain::Kind;
using ha::domain::OnToken;
using ha::domain::Seal;
using ha::domain::TokenSession;

namespace {

constexpr std::array<std::uint8_t, 10> kP256 = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

SecureBytes bytesOf(const std::string& text) { return {text.begin(), text.end()}; }

void check(CK_RV rv, const std::string& what) {
  if (rv != CKR_OK) throw std::runtime_error(what + ": " + cryptoki::returnCodeName(rv));
}
void check(const cryptoki::Outcome& outcome, const std::string& what) { check(outcome.rv, what); }

void without(Template& key, CK_ATTRIBUTE_TYPE nestedIn, CK_ATTRIBUTE_TYPE type) {
  Template nested = *key.nested(nestedIn);
  nested.erase(type);
  key.setTemplate(nestedIn, std::move(nested));
}

// The template of the scheme, less what makes the difference. Of which part it is: see CLONING.md.
Template weakTemplate(const Kind& kind, Weakness weakness) {
  Template key = ha::domain::domainKeyTemplate({}, kind, ha::domain::Lifetime::Token);
  key.setBytes(CKA_LABEL, bytesOf(weakKeyLabel(kind.carries)));
  key.setBytes(CKA_ID, bytesOf("weak"));
  switch (weakness) {
    case Weakness::NoUnwrapTemplate:
      key.erase(CKA_UNWRAP_TEMPLATE);
      break;
    case Weakness::UnwrapTemplateWithoutTrust:
      without(key, CKA_UNWRAP_TEMPLATE, CKA_WRAP_WITH_TRUSTED);
      break;
    case Weakness::ExtractableNoWrapTemplate:
      key.setBool(CKA_EXTRACTABLE, true);
      key.erase(CKA_WRAP_TEMPLATE);
      break;
    case Weakness::NoPrivate:
      without(key, CKA_UNWRAP_TEMPLATE, CKA_PRIVATE);
      without(key, CKA_WRAP_TEMPLATE, CKA_PRIVATE);
      break;
    case Weakness::NoClass:
      without(key, CKA_UNWRAP_TEMPLATE, CKA_CLASS);
      without(key, CKA_WRAP_TEMPLATE, CKA_CLASS);
      break;
    case Weakness::NoDerive:
      without(key, CKA_UNWRAP_TEMPLATE, CKA_DERIVE);
      without(key, CKA_WRAP_TEMPLATE, CKA_DERIVE);
      break;
    case Weakness::Modifiable:
      key.erase(CKA_MODIFIABLE);
      break;
    case Weakness::AnyMechanism:
      key.erase(CKA_ALLOWED_MECHANISMS);
      break;
    case Weakness::Copyable:
      key.erase(CKA_COPYABLE);
      key.erase(CKA_MODIFIABLE);
      break;
    case Weakness::Destroyable:
      key.erase(CKA_DESTROYABLE);
      break;
    case Weakness::Decrypting:
      key.setBool(CKA_DECRYPT, true);
      key.erase(CKA_ALLOWED_MECHANISMS);
      break;
    case Weakness::None:
    case Weakness::WithoutTrust:
    case Weakness::WeakElsewhere:
      break;
  }
  return key;
}

class Builder {
 public:
  Builder(const std::string& module, SecureBytes userPin) : userPin_(std::move(userPin)) {
    auto opened = modules_.open({module, ""});
    if (!opened) throw std::runtime_error(opened.error());
    library_ = *opened;
  }

  void build() {
    // A token of a module has to be attached before the next is made: its slot moves.
    std::vector<std::shared_ptr<cryptoki::LocalMember>> scheme;
    for (const bool second : {false, true}) scheme.push_back(makeToken(tokenLabel(Weakness::None, second)));
    std::vector<ha::domain::Candidate> candidates;
    candidates.reserve(scheme.size());
    for (const auto& member : scheme) candidates.push_back({*member, &userPin_, &officerPin_});
    const ha::domain::Report report = ha::domain::join(candidates, {}, {});
    if (report.result != ha::domain::Report::Result::Done)
      throw std::runtime_error("the domain cannot be made: " + report.problem);
    for (const auto& member : scheme) makeVictims(*member, true);

    for (std::size_t i = 1; i < kWeaknesses; ++i) {
      const auto weakness = static_cast<Weakness>(i);
      const auto member = makeToken(tokenLabel(weakness, false));
      makeWeakKeys(*member, weakness);
      makeVictims(*member, weakness != Weakness::WithoutTrust);
    }
    const auto elsewhere = makeToken(tokenLabel(Weakness::WeakElsewhere, true));
    makeWeakKeys(*elsewhere, Weakness::NoUnwrapTemplate);
    makeVictims(*elsewhere, true);
  }

 private:
  std::shared_ptr<cryptoki::LocalMember> makeToken(const std::string& label) {
    const cryptoki::FunctionList& f = library_->functions();
    // SoftHSM keeps one uninitialised token at hand, in the last slot.
    CK_ULONG count = 0;
    check(f.C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
    std::vector<CK_SLOT_ID> slots(count);
    check(f.C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
    const CK_SLOT_ID slot = slots.at(count - 1);
    CK_UTF8CHAR padded[32];
    cryptoki::pad(padded, label);
    check(f.C_InitToken(slot, officerPin_.data(), officerPin_.size(), padded), "C_InitToken");
    CK_TOKEN_INFO info{};
    check(f.C_GetTokenInfo(slot, &info), "C_GetTokenInfo");
    auto member = std::make_shared<cryptoki::LocalMember>(library_, cryptoki::unpad(info.serialNumber), std::nullopt);
    TokenSession session(*member);
    check(session.open(), "C_OpenSession");
    check(session.login(CKU_SO, officerPin_), "C_Login");
    check(member->execute(makeCall<Fn::InitPIN>(session.token().session, userPin_.data(), userPin_.size())),
          "C_InitPIN");
    return member;
  }

  // Of one value on all tokens, so that two of them can share a domain key.
  void makeWeakKeys(cryptoki::Member& member, Weakness weakness) {
    TokenSession session(member);
    check(session.open(), "C_OpenSession");
    check(session.login(CKU_SO, officerPin_), "C_Login");
    for (const CK_OBJECT_CLASS carries : {CKO_SECRET_KEY, CKO_PRIVATE_KEY}) {
      Template key;
      const SecureBytes value(32, static_cast<std::uint8_t>(carries));
      key.addBytes(CKA_VALUE, value);
      key.append(weakTemplate({Seal::Sealed, carries, false}, weakness));
      CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
      check(session.token().create(std::move(key), made), "a domain key");
    }
  }

  void makeVictims(cryptoki::Member& member, bool wantTrusted) {
    TokenSession session(member);
    check(session.open(), "C_OpenSession");
    check(session.login(CKU_USER, userPin_), "C_Login");
    const auto victim = [&](CK_OBJECT_CLASS objectClass) {
      Template key;
      key.addBool(CKA_TOKEN, true);
      key.addBool(CKA_PRIVATE, true);
      key.addText(CKA_LABEL, victimLabel(objectClass));
      key.addBool(CKA_SENSITIVE, true);
      key.addBool(CKA_EXTRACTABLE, true);
      key.addBool(CKA_WRAP_WITH_TRUSTED, wantTrusted);
      key.addBool(CKA_DERIVE, false);
      key.addBool(CKA_SIGN, true);
      return key;
    };
    Template secret = victim(CKO_SECRET_KEY);
    secret.addBool(CKA_ENCRYPT, true);
    secret.addUlong(CKA_VALUE_LEN, 32);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    check(session.token().generateKey(CKM_AES_KEY_GEN, std::move(secret), made), "a victim");
    Template publicKey;
    publicKey.addBytes(CKA_EC_PARAMS, kP256);
    CK_OBJECT_HANDLE publicMade = CK_INVALID_HANDLE;
    check(session.token().generatePair(CKM_EC_KEY_PAIR_GEN, std::move(publicKey), victim(CKO_PRIVATE_KEY), publicMade,
                                       made),
          "a victim");
  }

  cryptoki::Modules& modules_ = *new cryptoki::Modules;  // never destroyed, as what it loads
  std::shared_ptr<cryptoki::LocalModule> library_;
  SecureBytes userPin_;
  SecureBytes officerPin_ = bytesOf("only the officer knows");
};

}  // namespace

void buildArena(const std::string& module, const SecureBytes& userPin) { Builder(module, userPin).build(); }

}  // namespace p11ha::attack
