// Joining members in a cloning domain, on SoftHSM.
#include <algorithm>

#include "cryptoki/return_codes.h"
#include "ha/domain/admission.h"
#include "ha/domain/choosing.h"
#include "ha/domain/key_template.h"
#include "ha/inventory.h"
#include "tests/module/domain_fixture.h"

namespace p11ha::tests::cloning {
namespace {

using cryptoki::Call;
using cryptoki::Fn;
using cryptoki::Member;
using cryptoki::Outcome;
using ha::domain::Generation;
using ha::domain::Holding;
using ha::domain::Kind;
using ha::domain::MemberReport;
using ha::domain::Part;
using ha::domain::Report;
using ha::domain::Route;
using ha::domain::Seal;
using ha::domain::TokenSession;

constexpr Kind kSealed{Seal::Sealed, CKO_PRIVATE_KEY, false};

// The template of a C_UnwrapKey, by its words in the call.
constexpr std::size_t kUnwrapTemplate = 5;
constexpr std::size_t kUnwrapCount = 6;

class DomainJoin : public DomainTest {
 protected:
  std::vector<Holding> holdings() {
    std::vector<Holding> all;
    for (std::size_t i = 0; i < 3; ++i) all.push_back(holding(i));
    return all;
  }
  std::size_t objects(std::size_t member) {
    TokenSession session(*members[member]);
    EXPECT_EQ(session.open().rv, CKR_OK);
    EXPECT_EQ(session.login(CKU_USER, userPin).rv, CKR_OK);
    cryptoki::Template everything;
    std::vector<CK_OBJECT_HANDLE> found;
    EXPECT_EQ(ha::listObjects(*members[member], session.token().session, everything, found).rv, CKR_OK);
    return found.size();
  }
  // The member fails when it is to make a domain key for good that is the `which`th, counted from 0.
  void failAtTokenKey(std::size_t member, std::size_t which) {
    members[member]->intercept = [seen = std::size_t{0}, which](Member&, const Call& call) mutable {
      std::optional<Outcome> answer;
      if (call.fn != Fn::UnwrapKey) return answer;
      const auto wanted =
          cryptoki::Template::copyOf(call.get<const CK_ATTRIBUTE*>(kUnwrapTemplate), call.get<CK_ULONG>(kUnwrapCount));
      const auto id = wanted.value().find(CKA_ID);
      const bool domainKey =
          id && std::equal(id->begin(), id->end(), ha::domain::kDomainKeyId.begin(), ha::domain::kDomainKeyId.end());
      if (domainKey && wanted.value().boolean(CKA_TOKEN) == true && seen++ == which) answer = {CKR_DEVICE_ERROR};
      return answer;
    };
  }
  void heal(std::size_t member) { members[member]->intercept = nullptr; }
};

TEST_F(DomainJoin, GivesEachMemberAllKeysOfOneGeneration) {
  const Report report = join();
  ASSERT_EQ(report.result, Report::Result::Done) << report.problem;
  EXPECT_EQ(report.generation->number, 1U);
  for (const MemberReport& member : report.members) {
    EXPECT_EQ(member.part, Part::Full) << member.reason;
    EXPECT_TRUE(member.letThrough.empty()) << member.letThrough.front();
    EXPECT_TRUE(member.joined);
  }
  for (const Holding& held : holdings()) {
    EXPECT_EQ(held.keys.size(), 8U);
    EXPECT_TRUE(held.complete(*report.generation));
    EXPECT_TRUE(held.planted.empty());
  }
  EXPECT_EQ(objects(0), 8U);  // of all that was tried nothing is left
}

TEST_F(DomainJoin, IsNotDoneTwice) {
  const Report first = join();
  const Report again = join();
  EXPECT_EQ(again.result, Report::Result::AlreadyDone);
  EXPECT_EQ(again.generation, first.generation);
  EXPECT_EQ(holding(0).keys.size(), 8U);
}

TEST_F(DomainJoin, APlanMakesNothing) {
  const Report report = join(3, {true, false});
  EXPECT_EQ(report.result, Report::Result::Planned);
  for (const MemberReport& member : report.members) EXPECT_EQ(member.part, Part::Full);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(objects(i), 0U);
}

TEST_F(DomainJoin, ANewMemberMeansANewGeneration) {
  const Report two = join(2);
  const Report three = join(3);
  ASSERT_EQ(three.result, Report::Result::Done) << three.problem;
  EXPECT_EQ(three.generation->number, 2U);
  const auto held = holdings();
  EXPECT_TRUE(held[0].complete(*two.generation));
  EXPECT_FALSE(held[2].complete(*two.generation));
  EXPECT_EQ(chooseRoute(kSealed, held, 0, 2), (Route{*three.generation, {}, {}}));
  EXPECT_EQ(chooseRoute(kSealed, held, 0, 1), (Route{*three.generation, {}, {}}));
}

TEST_F(DomainJoin, AMemberThatCannotBeReachedIsLeftOut) {
  members[1]->attachRv = CKR_TOKEN_NOT_PRESENT;
  const Report report = join();
  ASSERT_EQ(report.result, Report::Result::Done) << report.problem;
  EXPECT_EQ(report.members[1].part, Part::LeftOut);
  EXPECT_EQ(report.members[1].reason, "it cannot be reached (CKR_TOKEN_NOT_PRESENT)");
  members[1]->attachRv = CKR_OK;
  EXPECT_EQ(join().result, Report::Result::Done);
  EXPECT_TRUE(holding(1).complete(holding(0).generations().front()));
}

TEST_F(DomainJoin, WhatFailsBeforeTheLastStepMakesNothing) {
  // RSA pairs are made for nothing but handing over; the first of each member is the examination's.
  members[1]->intercept = [pairs = 0](Member&, const Call& call) mutable {
    std::optional<Outcome> answer;
    if (call.fn == Fn::GenerateKeyPair && call.get<CK_MECHANISM*>(1)->mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN &&
        pairs++ == 1)
      answer = {CKR_DEVICE_ERROR};
    return answer;
  };
  const Report report = join();
  EXPECT_EQ(report.result, Report::Result::NotDone);
  EXPECT_EQ(report.problem, "member " + store.serial(1) +
                                ": C_GenerateKeyPair for the hand-over answers CKR_DEVICE_ERROR; nothing was made");
  heal(1);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(objects(i), 0U);
}

TEST_F(DomainJoin, InterruptedAndRunAgainItEndsTheSame) {
  for (const std::size_t which : {1U, 6U}) {
    failAtTokenKey(1, which);
    const Report interrupted = join(3, {false, true});
    EXPECT_EQ(interrupted.result, Report::Result::Incomplete);
    EXPECT_FALSE(interrupted.members[1].joined);
    EXPECT_TRUE(interrupted.members[2].joined);
    heal(1);
    // What there is of it is used between those that have it.
    EXPECT_EQ(chooseRoute(kSealed, holdings(), 0, 2), (Route{*interrupted.generation, {}, {}}));

    const Report again = join();
    ASSERT_EQ(again.result, Report::Result::Done) << again.problem;
    for (const Holding& held : holdings()) {
      EXPECT_EQ(held.generations().front(), *again.generation);
      EXPECT_TRUE(held.complete(*again.generation));
    }
  }
}

TEST_F(DomainJoin, AfterARemovalNothingBeforeItIsUsed) {
  const Report all = join();
  const Report report = ha::domain::renewAfterRemoval(candidates(2), false, {});
  ASSERT_EQ(report.result, Report::Result::Done) << report.problem;
  const auto held = holdings();
  EXPECT_EQ(held[2].generations(), std::vector<Generation>{*all.generation});
  EXPECT_EQ(chooseRoute(kSealed, held, 0, 1), (Route{*report.generation, {}, {}}));
  EXPECT_EQ(chooseRoute(kSealed, held, 0, 2), std::nullopt);
}

TEST_F(DomainJoin, AWrongPinIsGivenToOneMemberOnly) {
  userPin = secret("wrong");
  std::size_t asked = 0;
  for (auto& member : members) {
    member->intercept = [&asked](Member&, const Call& call) {
      if (call.fn == Fn::Login) ++asked;
      return std::optional<Outcome>();
    };
  }
  const Report report = join();
  EXPECT_EQ(report.result, Report::Result::NotDone);
  EXPECT_EQ(report.problem, "member " + store.serial(0) +
                                ": the PIN of the user is refused (CKR_PIN_INCORRECT); no other member was asked");
  ASSERT_TRUE(report.refusal);
  EXPECT_EQ(report.refusal->user, CK_USER_TYPE{CKU_USER});
  EXPECT_EQ(asked, 1U);
}

TEST_F(DomainJoin, AnOfficersPinThatIsRefusedIsGivenToOneMemberOnly) {
  for (const CK_RV rv : {CKR_PIN_INCORRECT, CKR_PIN_LOCKED}) {
    std::size_t asked = 0;
    for (auto& member : members) {
      member->intercept = [&](Member&, const Call& call) -> std::optional<Outcome> {
        if (call.fn != Fn::Login || call.get<CK_USER_TYPE>(1) != CKU_SO) return std::nullopt;
        ++asked;
        return Outcome{rv};
      };
    }
    const Report report = join();
    EXPECT_EQ(report.result, Report::Result::NotDone);
    ASSERT_TRUE(report.refusal);
    EXPECT_EQ(report.refusal->serial, store.serial(0));
    EXPECT_EQ(report.refusal->user, CK_USER_TYPE{CKU_SO});
    EXPECT_EQ(report.refusal->rv, rv);
    EXPECT_EQ(asked, 1U);
  }
}

TEST_F(DomainJoin, WithoutTheOfficerThereAreOpenKeysOnly) {
  auto all = candidates();
  all[2].officerPin = nullptr;
  const Report report = ha::domain::join(all, {}, {});
  ASSERT_EQ(report.result, Report::Result::Done) << report.problem;
  EXPECT_EQ(report.members[2].part, Part::OpenOnly);
  EXPECT_EQ(report.members[2].reason, "the PIN of its Security Officer is not at hand");
  const auto held = holdings();
  EXPECT_TRUE(held[2].complete(*report.generation, Seal::Open));
  EXPECT_FALSE(held[2].complete(*report.generation, Seal::Sealed));
  EXPECT_EQ(chooseRoute(kSealed, held, 0, 2), std::nullopt);
  EXPECT_EQ(chooseRoute({Seal::Open, CKO_SECRET_KEY, false}, held, 0, 2), (Route{*report.generation, {}, {}}));
  EXPECT_EQ(ha::domain::join(all, {}, {}).result, Report::Result::AlreadyDone);
}

TEST_F(DomainJoin, WhatIsPlantedIsNoSealedKey) {
  const Report report = join();
  const auto plant = [&](const Kind& kind, bool loggedIn) {
    TokenSession session(*members[0]);
    EXPECT_EQ(session.open().rv, CKR_OK);
    if (loggedIn) {
      EXPECT_EQ(session.login(CKU_USER, userPin).rv, CKR_OK);
    }
    cryptoki::Template planted = ha::domain::domainKeyTemplate({99, {}, false}, kind, ha::domain::Lifetime::Token);
    planted.erase(CKA_TRUSTED);
    if (!loggedIn) planted.setBool(CKA_PRIVATE, false);
    cryptoki::Template made;
    made.addText(CKA_VALUE, "a value that everybody may know.");
    made.append(planted);
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(session.token().create(made, key).rv, CKR_OK);
  };
  plant(kSealed, true);
  plant(kSealed, false);
  plant({Seal::Open, CKO_SECRET_KEY, false}, false);
  const Holding held = holding(0);
  EXPECT_EQ(held.generations(), std::vector<Generation>{*report.generation});
  EXPECT_EQ(held.planted.size(), 3U);
}

// A token that forgets part of what it was told, and with it why a domain key is safe.
class DomainAdmission : public DomainTest {
 protected:
  // From each domain key that is made, or else from each other key.
  void forget(const std::vector<CK_ATTRIBUTE_TYPE>& types, bool ofDomainKeys) {
    members[0]->intercept = [types, ofDomainKeys](Member& member, const Call& call) {
      std::optional<Outcome> answer;
      std::size_t at = 0;
      if (call.fn == Fn::UnwrapKey) at = kUnwrapTemplate;
      if (call.fn == Fn::GenerateKey) at = 2;
      if (call.fn == Fn::GenerateKeyPair) at = 4;
      if (at == 0) return answer;
      auto wanted = cryptoki::Template::copyOf(call.get<const CK_ATTRIBUTE*>(at), call.get<CK_ULONG>(at + 1)).value();
      if (wanted.has(CKA_WRAP_TEMPLATE) != ofDomainKeys) return answer;
      for (const CK_ATTRIBUTE_TYPE type : types) wanted.erase(type);
      Call changed = call;
      changed.set(at, wanted.data());
      changed.set(at + 1, wanted.count());
      answer = member.execute(changed);
      return answer;
    };
  }
  std::vector<std::string> found() {
    TokenSession session(*members[0]);
    EXPECT_EQ(session.open().rv, CKR_OK);
    const auto admission = ha::domain::examine(session, userPin, &officerPin);
    EXPECT_EQ(admission.obstacle, "");
    EXPECT_EQ(admission.verdict == ha::domain::Admission::Verdict::Admitted, admission.letThrough.empty());
    return admission.letThrough;
  }
};

TEST_F(DomainAdmission, LetsSoftHsmIn) { EXPECT_EQ(found(), std::vector<std::string>()); }

TEST_F(DomainAdmission, NamesWhatATokenLetsThrough) {
  const auto names = [&](const std::string& words) {
    const auto all = found();
    return std::find(all.begin(), all.end(), words) != all.end();
  };
  forget({CKA_UNWRAP_TEMPLATE}, true);
  EXPECT_TRUE(names("it takes a sealed key back with SENSITIVE=false"));
  forget({CKA_ALLOWED_MECHANISMS}, true);
  EXPECT_TRUE(names("it lets a domain key wrap by another mechanism"));
  forget({CKA_MODIFIABLE}, true);
  EXPECT_TRUE(names("its C_SetAttributeValue changes a domain key by nobody who is logged in"));
  forget({CKA_COPYABLE, CKA_MODIFIABLE}, true);  // SoftHSM copies nothing that is not modifiable
  EXPECT_TRUE(names("its C_CopyObject copies a domain key"));
  forget({CKA_DESTROYABLE}, true);
  EXPECT_TRUE(names("it lets a domain key be destroyed"));
  forget({CKA_WRAP_WITH_TRUSTED}, false);
  EXPECT_TRUE(names("it lets an untrusted key wrap a WRAP_WITH_TRUSTED key"));
}

}  // namespace
}  // namespace p11ha::tests::cloning
