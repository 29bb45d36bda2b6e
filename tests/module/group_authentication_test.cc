// Logins beyond the user's own: for one operation, as Security Officer, on a member's own slot, and changes of PINs.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

CK_UTF8CHAR_PTR chars(std::string& text) { return reinterpret_cast<CK_UTF8CHAR_PTR>(text.data()); }

class ContextLogin : public WorkingGroup {
 protected:
  void SetUp() override {
    WorkingGroup::SetUp();
    if (HasFatalFailure()) return;
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    Template publicKey{flag(CKA_TOKEN), flag(CKA_VERIFY), {CKA_EC_PARAMS, p256, sizeof p256}};
    Template privateKey{flag(CKA_TOKEN),     flag(CKA_PRIVATE),     flag(CKA_SIGN),
                        flag(CKA_SENSITIVE), flag(CKA_EXTRACTABLE), flag(CKA_ALWAYS_AUTHENTICATE)};
    ASSERT_EQ(client.f->C_GenerateKeyPair(session, &mechanism, publicKey.data(), publicKey.size(), privateKey.data(),
                                          privateKey.size(), &pair_.publicKey, &pair_.privateKey),
              CKR_OK);
  }
  CK_RV begin() {
    CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
    return client.f->C_SignInit(session, &mechanism, pair_.privateKey);
  }
  CK_RV authenticate(std::string pin) {
    return client.f->C_Login(session, CKU_CONTEXT_SPECIFIC, chars(pin), pin.size());
  }
  CK_RV finish() {
    Bytes data(32, 7);
    Bytes signature(64);
    CK_ULONG size = signature.size();
    return client.f->C_Sign(session, data.data(), data.size(), signature.data(), &size);
  }
  std::vector<unsigned long> logins() const { return {asked(0, "C_Login"), asked(1, "C_Login"), asked(2, "C_Login")}; }
  std::size_t memberOf(const char* function, const std::function<void()>& call) const {
    std::vector<unsigned long> before = {asked(0, function), asked(1, function), asked(2, function)};
    call();
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (asked(i, function) != before[i]) return i;
    }
    ADD_FAILURE() << "no member was asked";
    return 0;
  }

  Pair pair_;
};

TEST_F(ContextLogin, GoesToTheMemberOfItsOperationOnly) {
  const std::size_t at = memberOf("C_SignInit", [&] { EXPECT_EQ(begin(), CKR_OK); });
  auto expected = logins();
  ++expected[at];
  EXPECT_EQ(authenticate("12345678"), CKR_OK);
  EXPECT_EQ(logins(), expected);
  EXPECT_EQ(finish(), CKR_OK);
}

TEST_F(ContextLogin, WithoutItTheKeyRefusesAndTheMemberStays) {
  EXPECT_EQ(begin(), CKR_OK);
  EXPECT_EQ(finish(), CKR_USER_NOT_LOGGED_IN);
  EXPECT_EQ(logged("deactivated"), 0U) << log();
  EXPECT_EQ(begin(), CKR_OK);
  EXPECT_EQ(authenticate("87654320"), CKR_PIN_INCORRECT);
}

TEST_F(ContextLogin, IsGivenAgainToTheMemberThatTakesTheOperationOver) {
  const std::size_t at = memberOf("C_SignInit", [&] { EXPECT_EQ(begin(), CKR_OK); });
  EXPECT_EQ(authenticate("12345678"), CKR_OK);
  tell("fail " + member(at) + " * CKR_DEVICE_ERROR");
  EXPECT_EQ(finish(), CKR_OK);
  awaitLog("has dropped member: " + store.serial(at));
}

TEST_F(ContextLogin, ItselfFailsOver) {
  const std::size_t at = memberOf("C_SignInit", [&] { EXPECT_EQ(begin(), CKR_OK); });
  tell("fail " + member(at) + " * CKR_DEVICE_ERROR");
  EXPECT_EQ(authenticate("12345678"), CKR_OK);
  EXPECT_EQ(finish(), CKR_OK);
}

class Pins : public GroupTest {
 protected:
  void SetUp() override {
    client.f = module();
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
  }
  CK_RV loginSo() {
    std::string pin = store.soPin();
    return client.f->C_Login(session, CKU_SO, chars(pin), pin.size());
  }
  CK_RV setPin(std::string from, std::string to) {
    return client.f->C_SetPIN(session, chars(from), from.size(), chars(to), to.size());
  }

  Client client{nullptr};
  CK_SESSION_HANDLE session = 0;
};

TEST_F(Pins, AreChangedOnAllMembers) {
  ASSERT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(setPin("87654320", "11112222"), CKR_PIN_INCORRECT);
  EXPECT_EQ(asked(1, "C_SetPIN"), 0U);
  EXPECT_EQ(setPin("12345678", "11112222"), CKR_OK);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(asked(i, "C_SetPIN"), i == 0 ? 2U : 1U);
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session), CKR_PIN_INCORRECT);
  EXPECT_EQ(client.login(session, "11112222"), CKR_OK);
  // A member that comes back is given the new one.
  ASSERT_EQ(setPin("11112222", "33334444"), CKR_OK);
  tell("fail " + member(2) + " * CKR_DEVICE_ERROR times 1");
  await([&] { return client.random(session) == CKR_OK && logged("has dropped member") == 1; }, "a member dropped");
  awaitLog("succeeded for member: " + store.serial(2));
  EXPECT_EQ(logged("can not login"), 0U) << log();
}

TEST_F(Pins, AChangeThatOneMemberRefusesIsUndone) {
  tell("fail " + member(1) + " C_SetPIN CKR_PIN_TOO_WEAK times 1");
  EXPECT_EQ(setPin("12345678", "11112222"), CKR_PIN_TOO_WEAK);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(logged("can not login"), 0U) << log();
}

TEST_F(Pins, AreNotChangedBehindTheBackOfAMemberThatIsDown) {
  ASSERT_EQ(client.login(session), CKR_OK);
  tell("fail " + member(2) + " * CKR_DEVICE_REMOVED");
  await([&] { return client.random(session) == CKR_OK && logged("has dropped member") == 1; }, "a member dropped");
  // What would fail anyway does so for its own reason.
  EXPECT_EQ(setPin("87654320", "11112222"), CKR_PIN_INCORRECT);
  EXPECT_EQ(setPin("12345678", "1"), CKR_PIN_LEN_RANGE);
  EXPECT_EQ(client.f->C_SetPIN(session, nullptr, 0, nullptr, 0), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(setPin("12345678", "11112222"), CKR_DEVICE_ERROR);
  EXPECT_EQ(logged("p11ha: C_SetPIN was refused: member " + store.serial(2) + " is down and would keep its PIN"), 1U)
      << log();
  tell("heal");
  awaitLog("succeeded for member: " + store.serial(2));
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(setPin("12345678", "11112222"), CKR_OK);
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session, "11112222"), CKR_OK);
  EXPECT_EQ(logged("can not login"), 0U) << log();
}

TEST_F(Pins, AChangeInWhichAMemberIsLostIsUndone) {
  ASSERT_EQ(client.login(session), CKR_OK);
  tell("fail " + member(1) + " C_SetPIN CKR_DEVICE_REMOVED times 1");
  EXPECT_EQ(setPin("12345678", "11112222"), CKR_DEVICE_ERROR);
  awaitLog("succeeded for member: " + store.serial(1));
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session, "11112222"), CKR_PIN_INCORRECT);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(logged("can not login"), 0U) << log();
}

// What is refused while a member is down (above) goes through while it is none of the group's, and leaves it its PIN.
TEST_F(Pins, AMemberThatWasAwayDuringAChangeIsGivenTheNewOneOnce) {
  ASSERT_EQ(client.login(session), CKR_OK);
  configure(configuration(group("00", "demo", "1000", store.serial(0) + ", " + store.serial(1)), "   HAOnly = 1;\n",
                          theModule()));
  awaitLog("has dropped member: " + store.serial(2));
  ASSERT_EQ(setPin("12345678", "11112222"), CKR_OK);
  EXPECT_EQ(asked(2, "C_SetPIN"), 0U);
  unsigned long given = asked(2, "C_Login");
  configure(configuration());
  const std::string refused = "can not login to member: " + store.serial(2) +
                              ", autorecovery will be disabled. Code: 0x000000A0 : CKR_PIN_INCORRECT";
  awaitLog(refused);
  EXPECT_EQ(asked(2, "C_Login"), ++given);
  // However often another one is tried again: each time waits for an interval at least.
  for (std::size_t outage = 1; outage <= 2; ++outage) {
    tell("fail " + member(1) + " * CKR_DEVICE_ERROR times 1");
    const std::string back = "succeeded for member: " + store.serial(1);
    await([&] { return client.random(session) == CKR_OK && logged(back) == outage; }, back);
  }
  EXPECT_EQ(asked(2, "C_Login"), given);
  EXPECT_EQ(logged(refused), 1U) << log();
  // The next login tries it again, once.
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session, "11112222"), CKR_OK);
  await([&] { return logged(refused) == 2; }, refused);
  EXPECT_EQ(asked(2, "C_Login"), ++given);
  EXPECT_EQ(client.random(session), CKR_OK);
}

TEST_F(Pins, AMemberThatIsLostUnseenKeepsTheOthersPins) {
  ASSERT_EQ(loginSo(), CKR_OK);
  tell("fail " + member(2) + " * CKR_DEVICE_REMOVED");
  std::string pin = "55556666";
  EXPECT_EQ(client.f->C_InitPIN(session, chars(pin), pin.size()), CKR_DEVICE_ERROR);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(asked(i, "C_InitPIN"), 0U);
  tell("heal");
  awaitLog("succeeded for member: " + store.serial(2));
  // Lost in the call itself, when the others have the new PIN: they keep it.
  tell("fail " + member(2) + " C_InitPIN CKR_DEVICE_REMOVED times 1");
  EXPECT_EQ(client.f->C_InitPIN(session, chars(pin), pin.size()), CKR_OK);
  EXPECT_EQ(logged("p11ha: after C_InitPIN member " + store.serial(2) + " may have another PIN than the others"), 1U)
      << log();
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session, pin), CKR_OK);
}

TEST_F(Pins, TheSecurityOfficerSetsTheUsersOnAllMembers) {
  CK_SESSION_HANDLE readOnly = 0;
  ASSERT_EQ(client.f->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &readOnly), CKR_OK);
  EXPECT_EQ(client.random(readOnly), CKR_OK);
  EXPECT_EQ(loginSo(), CKR_SESSION_READ_ONLY_EXISTS);
  EXPECT_EQ(client.f->C_CloseSession(readOnly), CKR_OK);
  // The session that the members had for it is pooled: it must not be in the way.
  ASSERT_EQ(loginSo(), CKR_OK);
  CK_SESSION_INFO info{};
  EXPECT_EQ(client.f->C_GetSessionInfo(session, &info), CKR_OK);
  EXPECT_EQ(info.state, CK_STATE{CKS_RW_SO_FUNCTIONS});
  EXPECT_EQ(client.f->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &readOnly),
            CKR_SESSION_READ_WRITE_SO_EXISTS);
  std::string pin = "55556666";
  EXPECT_EQ(client.f->C_InitPIN(session, chars(pin), pin.size()), CKR_OK);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(asked(i, "C_InitPIN"), 1U);
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  EXPECT_EQ(client.login(session, pin), CKR_OK);
  EXPECT_EQ(logged("can not login"), 0U) << log();
}

// Members in slots of their own, 0 to 2; the group is slot 3.
class MemberSlots : public GroupTest {
 protected:
  void SetUp() override {
    configure(configuration(theGroup(), "   HAOnly = 0;\n", theModule()));
    client.f = module();
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    ASSERT_EQ(client.slots(CK_TRUE).size(), 4U);
    group = client.open(3);
    for (CK_SLOT_ID slot = 0; slot < 3; ++slot) sessions.push_back(client.open(slot));
  }
  CK_STATE state(CK_SESSION_HANDLE session) const {
    CK_SESSION_INFO info{};
    EXPECT_EQ(client.f->C_GetSessionInfo(session, &info), CKR_OK);
    return info.state;
  }

  unsigned long logouts() const { return asked(0, "C_Logout") + asked(1, "C_Logout") + asked(2, "C_Logout"); }

  Client client{nullptr};
  CK_SESSION_HANDLE group = 0;
  std::vector<CK_SESSION_HANDLE> sessions;
};

TEST_F(MemberSlots, WhoIsLoggedInThereDoesNotCostTheGroupItsRecovery) {
  const CK_SESSION_HANDLE session = client.open(client.slotOf(store.serial(1)));
  ASSERT_EQ(client.login(session), CKR_OK);
  std::string pin = store.soPin();
  ASSERT_EQ(client.f->C_Login(group, CKU_SO, reinterpret_cast<CK_UTF8CHAR*>(pin.data()), pin.size()), CKR_OK);
  EXPECT_EQ(logged("can not login"), 0U) << log();
  EXPECT_EQ(client.f->C_Logout(session), CKR_OK);
  awaitLog("succeeded for member: " + store.serial(1));
}

TEST_F(MemberSlots, HaveALoginOfTheirOwn) {
  ASSERT_EQ(client.login(group), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(client.createKey(group, key), CKR_OK);
  EXPECT_EQ(client.sign(group, key), CKR_OK);
  EXPECT_EQ(state(sessions[1]), CK_STATE{CKS_RW_PUBLIC_SESSION});
  EXPECT_EQ(client.createKey(sessions[1], key), CKR_USER_NOT_LOGGED_IN);
  // The module would take any PIN now.
  EXPECT_EQ(client.login(sessions[1], "87654320"), CKR_PIN_INCORRECT);
  EXPECT_EQ(client.login(sessions[1]), CKR_OK);
  EXPECT_EQ(client.createKey(sessions[1], key), CKR_OK);
  EXPECT_EQ(client.sign(sessions[1], key), CKR_OK);
  EXPECT_EQ(client.login(sessions[1]), CKR_USER_ALREADY_LOGGED_IN);
}

TEST_F(MemberSlots, ALogoutIsTheirOwnToo) {
  ASSERT_EQ(client.login(group), CKR_OK);
  ASSERT_EQ(client.login(sessions[0]), CKR_OK);
  CK_OBJECT_HANDLE key = 0;
  CK_OBJECT_HANDLE own = 0;
  ASSERT_EQ(client.createKey(group, key), CKR_OK);
  ASSERT_EQ(client.createKey(sessions[0], own), CKR_OK);
  EXPECT_EQ(client.f->C_Logout(group), CKR_OK);
  EXPECT_NE(client.sign(group, key), CKR_OK);
  EXPECT_EQ(client.sign(sessions[0], own), CKR_OK);
  // The two members whose own slots nobody has logged in to.
  EXPECT_EQ(logouts(), 2U);
  EXPECT_EQ(client.f->C_Logout(sessions[0]), CKR_OK);
  EXPECT_EQ(logouts(), 3U);
  EXPECT_EQ(client.login(group), CKR_OK);
}

TEST_F(MemberSlots, APrivateObjectOfTheGroupIsNotSeenBeforeTheLogin) {
  ASSERT_EQ(client.login(group), CKR_OK);
  CK_OBJECT_CLASS data = CKO_DATA;
  CK_OBJECT_HANDLE made = 0;
  for (const bool hidden : {true, false}) {
    const std::string label = hidden ? "private" : "public";
    Template wanted{
        {CKA_CLASS, &data, sizeof data}, flag(CKA_TOKEN), flag(CKA_PRIVATE, hidden), text(CKA_LABEL, label)};
    ASSERT_EQ(client.f->C_CreateObject(group, wanted.data(), wanted.size(), &made), CKR_OK);
  }
  const auto seen = [&] {
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count = 0;
    EXPECT_EQ(client.f->C_FindObjectsInit(sessions[2], nullptr, 0), CKR_OK);
    EXPECT_EQ(client.f->C_FindObjects(sessions[2], found, 8, &count), CKR_OK);
    EXPECT_EQ(client.f->C_FindObjectsFinal(sessions[2]), CKR_OK);
    return count;
  };
  EXPECT_EQ(seen(), 1U);
  ASSERT_EQ(client.login(sessions[2]), CKR_OK);
  EXPECT_EQ(seen(), 2U);
}

}  // namespace
}  // namespace p11ha::tests
