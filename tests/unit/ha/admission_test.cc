// Which members a group takes: those of its kind that may be used, and that offer what it offers.
#include <set>

#include "tests/unit/ha/virtual_token_fixture.h"

namespace p11ha::ha {
namespace {

using cryptoki::Fate;
using std::chrono::seconds;
using test::Log;
using test::Outcome;

class VirtualTokenAdmission : public test::VirtualTokenTest {
 protected:
  void makePed(unsigned member) const { members[member]->tokenFlags |= CKF_PROTECTED_AUTHENTICATION_PATH; }
  void startAndLogIn() {
    startLoggedIn();
    key = findKey(session);
  }
  CK_ULONG mechanismsOffered() const {
    CK_ULONG count = 0;
    EXPECT_EQ(token->call(test::makeCall<test::Fn::GetMechanismList>(CK_SLOT_ID{0}, nullptr, &count)), CKR_OK);
    return count;
  }
};

const halog::Event kStart = halog::MgmtThreadStart{};
const halog::Event kPassword = halog::ConfiguredAsPassword{};

TEST_F(VirtualTokenAdmission, AMemberOfTheOtherKindIsRefused) {
  makePed(1);
  members[1]->mechanisms = {CKM_ECDSA};
  startAndLogIn();
  EXPECT_EQ(news(), (Log{kStart, kPassword, halog::MemberRefused{"B", "it is PED based, the group PASSWORD based"}}));
  EXPECT_EQ(phase(*members[1]), Phase::GivenUp);
  EXPECT_EQ(mechanismsOffered(), 2U) << "it does not narrow the group";
  scheduler.advance(seconds(3600));
  EXPECT_EQ(members[1]->attaches, 1U);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
}

TEST_F(VirtualTokenAdmission, TheFirstMemberThatAnswersDecidesTheKind) {
  members[0]->down = Outcome{CKR_DEVICE_ERROR, Fate::NotSent};
  makePed(1);
  makePed(2);
  start();
  EXPECT_EQ(news(), (Log{kStart, halog::ConfiguredAsPed{}, halog::DropUnrecoverable{"A"}}));
  members[0]->down.reset();
  forgetNews();
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::MemberRefused{"A", "it is PASSWORD based, the group PED based"}}));
}

TEST_F(VirtualTokenAdmission, WhereNobodyAnswersTheKindIsSaidWhenTheFirstMemberJoins) {
  for (const auto& member : members) member->down = Outcome{CKR_DEVICE_ERROR, Fate::NotSent};
  start();
  EXPECT_EQ(news(), (Log{kStart, halog::DropUnrecoverable{"A"}, halog::DropUnrecoverable{"B"},
                         halog::DropUnrecoverable{"C"}, halog::MembersOffline{}}));
  forgetNews();
  members[1]->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::ConfiguredAsPassword>(), 1U);
  EXPECT_EQ(lines<halog::Recovered>(), 1U);
  members[0]->down.reset();
  scheduler.advance(seconds(60));
  EXPECT_EQ(lines<halog::ConfiguredAsPassword>(), 1U) << "once";
  EXPECT_EQ(lines<halog::Recovered>(), 2U);
}

TEST_F(VirtualTokenAdmission, AMemberThatJoinsHasToOfferWhatTheGroupOffers) {
  members[1]->down = Outcome{CKR_DEVICE_ERROR, Fate::NotSent};
  startAndLogIn();
  forgetNews();
  members[1]->down.reset();
  members[1]->mechanisms = {CKM_RSA_PKCS};
  scheduler.advance(seconds(3600));
  EXPECT_EQ(news(), (Log{halog::MemberRefused{"B", "it lacks CKM_ECDSA, which the group offers"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
  // Mended, and asked for.
  members[1]->mechanisms = {CKM_ECDSA, CKM_RSA_PKCS, CKM_AES_GCM};
  token->recoverNow(1);
  scheduler.run();
  EXPECT_EQ(news().back(), (halog::Event{halog::Recovered{1, "B"}}));
  EXPECT_EQ(mechanismsOffered(), 2U);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_F(VirtualTokenAdmission, AMechanismWithoutANameIsToldByItsNumber) {
  for (const auto& member : members) member->mechanisms.push_back(CKM_VENDOR_DEFINED + 0x1234);
  members[2]->down = Outcome{CKR_DEVICE_ERROR, Fate::NotSent};
  start();
  forgetNews();
  members[2]->down.reset();
  members[2]->mechanisms.pop_back();
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::MemberRefused{"C", "it lacks mechanism 0x80001234, which the group offers"}}));
}

TEST_F(VirtualTokenAdmission, AMemberThatIsNotActivatedAtFirstJoinsOnceItIs) {
  members[1]->stands = cryptoki::Standing::Deactivated;
  members[1]->mechanisms = {CKM_RSA_PKCS};
  startAndLogIn();
  EXPECT_EQ(news(), (Log{kStart, kPassword, halog::NotActivated{"B"}}));
  EXPECT_EQ(mechanismsOffered(), 1U) << "so that it can join";
  EXPECT_EQ(members[1]->count(test::Fn::Login), 0U);
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "C"}));
  forgetNews();
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::StillNotActivated{"B"}}));
  members[1]->stands = cryptoki::Standing::Active;
  scheduler.advance(seconds(60));
  EXPECT_EQ(news(), (Log{halog::StillNotActivated{"B"}, halog::FirstActivated{"B"}, halog::Recovered{2, "B"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

TEST_F(VirtualTokenAdmission, AMemberThatWasTakenFromUsIsSaidToBeOnce) {
  members[0]->stands = cryptoki::Standing::Revoked;
  startAndLogIn();
  EXPECT_EQ(news(), (Log{kStart, kPassword, halog::DropUnrecoverable{"A"}}));
  EXPECT_EQ(members[0]->count(test::Fn::GetMechanismList), 0U);
  forgetNews();
  scheduler.advance(seconds(120));
  const halog::Code absent{CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT"};
  EXPECT_EQ(news(), (Log{halog::MemberRevoked{"A"}, halog::RecoveryFailed{1, "A", absent},
                         halog::RecoveryFailed{2, "A", absent}}));
  members[0]->stands = cryptoki::Standing::Active;
  scheduler.advance(seconds(60));
  EXPECT_EQ(news().back(), (halog::Event{halog::Recovered{3, "A"}}));
  EXPECT_EQ(signers(), (std::set<std::string>{"A", "B", "C"}));
}

}  // namespace
}  // namespace p11ha::ha
