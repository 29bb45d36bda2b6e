// What members of an appliance go through, and what the HA log says of it.
#include <gmock/gmock.h>

#include <algorithm>
#include <regex>

#include "tests/appliance/remote_group.h"
#include "transport/client/client.h"
#include "transport/client/remote_member.h"

namespace p11ha::tests {
namespace {

using cryptoki::Fn;
using cryptoki::makeCall;

const std::string kPedZero = "   Partition00Authentication = PED;\n   Partition00PedPin = 12345678;\n";
const std::string kPedOne = "   Partition01Authentication = PED;\n   Partition01PedPin = 12345678;\n";

class MemberLife : public RemoteGroupTest {
 protected:
  /// The messages logged so far, in order.
  std::vector<std::string> messages() const {
    std::vector<std::string> all;
    std::istringstream lines(haLog());
    const std::string prefix = "] HA group: 1000 ";
    for (std::string line; std::getline(lines, line);) {
      const auto at = line.find(prefix);
      all.push_back(at == std::string::npos ? "no prefix: " + line : line.substr(at + prefix.size()));
    }
    return all;
  }
  /// How many of them are that one; # stands for an attempt's number.
  long logged(const std::string& message) const {
    static const std::regex special(R"([.^$|()\[\]{}*+?\\])");
    static const std::regex number("#");
    const std::string quoted = std::regex_replace(message, special, R"(\$&)");
    const std::regex pattern(std::regex_replace(quoted, number, "[0-9]+"));
    const std::vector<std::string> all = messages();
    return std::count_if(all.begin(), all.end(),
                         [&](const std::string& one) { return std::regex_match(one, pattern); });
  }
  bool awaitMessage(const std::string& message, long times = 1) const {
    return await([&] { return logged(message) >= times; }, message) || (ADD_FAILURE() << haLog(), false);
  }
  void tellPartition(const std::string& verb, std::size_t member) const {
    EXPECT_EQ(ctl(verb + " " + store.serial(member)).first, 0);
  }
  std::string recovered(std::size_t member) const {
    return "recovery attempt # succeeded for member: " + store.serial(member);
  }
  void initialize() {
    client.f = module();
    ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
    session = client.open(0);
  }
  CK_RV logout() const { return client.f->C_Logout(session); }
  /// Initialised, logged in, a key made that the tokens keep and members can be given.
  void beginWithTokenKey() {
    initialize();
    ASSERT_EQ(client.login(session), CKR_OK);
    ASSERT_EQ(generateTokenKey(key), CKR_OK);
  }
  CK_RV sign() const {
    CK_MECHANISM mechanism{CKM_AES_CMAC, nullptr, 0};
    CK_BYTE data[16] = {};
    CK_BYTE made[16];
    CK_ULONG length = sizeof made;
    const CK_RV rv = client.f->C_SignInit(session, &mechanism, key);
    return rv != CKR_OK ? rv : client.f->C_Sign(session, data, sizeof data, made, &length);
  }
  /// On every member, if both serve: two in a row are not made by the same one.
  void expectSigning(int times = 10) const {
    for (int i = 0; i < times; ++i) EXPECT_EQ(sign(), CKR_OK);
  }
  /// An AES key that is kept by the tokens, and can be cloned.
  CK_RV generateTokenKey(CK_OBJECT_HANDLE& made) const {
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG length = 32;
    CK_ATTRIBUTE wanted[] = {{CKA_TOKEN, &yes, sizeof yes},     {CKA_PRIVATE, &yes, sizeof yes},
                             {CKA_SENSITIVE, &yes, sizeof yes}, {CKA_EXTRACTABLE, &yes, sizeof yes},
                             {CKA_SIGN, &yes, sizeof yes},      {CKA_VALUE_LEN, &length, sizeof length}};
    return client.f->C_GenerateKey(session, &mechanism, wanted, std::size(wanted), &made);
  }
  /// By another application, which sees what is private.
  std::vector<CK_OBJECT_HANDLE> objectsOf(RawClient& other, CK_SESSION_HANDLE its) {
    std::vector<CK_OBJECT_HANDLE> found(100);
    CK_ULONG count = 0;
    EXPECT_EQ(other.call(makeCall<Fn::FindObjectsInit>(its, nullptr, CK_ULONG{0})), CKR_OK);
    EXPECT_EQ(other.call(makeCall<Fn::FindObjects>(its, found.data(), CK_ULONG{found.size()}, &count)), CKR_OK);
    EXPECT_EQ(other.call(makeCall<Fn::FindObjectsFinal>(its)), CKR_OK);
    found.resize(count);
    return found;
  }
  void changePin(std::size_t member, std::string from, std::string to) {
    const auto other = greeted("bob", member);
    ASSERT_TRUE(other);
    const CK_SESSION_HANDLE its = open(*other);
    ASSERT_EQ(login(*other, its, from), CKR_OK);
    EXPECT_EQ(
        other->call(makeCall<Fn::SetPIN>(its, reinterpret_cast<CK_UTF8CHAR_PTR>(from.data()), CK_ULONG{from.size()},
                                         reinterpret_cast<CK_UTF8CHAR_PTR>(to.data()), CK_ULONG{to.size()})),
        CKR_OK);
  }
};

TEST_F(MemberLife, NotActivatedAtFirst) {
  serve();
  tellPartition("deactivate", 0);
  beginWithTokenKey();
  EXPECT_EQ(logged("member " + store.serial(0) + " is not activated and is excluded from the HA group"), 1);
  expectSigning();
  EXPECT_TRUE(awaitMessage("recovery attempt " + store.serial(0) +
                           " is not activated and cannot be reintroduced back into the HA group"));
  tellPartition("activate", 0);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  EXPECT_EQ(logged("recovery attempt " + store.serial(0) +
                   " is now activated and will be reintroduce back into the HA group."),
            1);
  expectSigning();
  // It serves: the other one is not needed.
  tellPartition("deactivate", 1);
  expectSigning();
}

TEST_F(MemberLife, DeactivatedUnseen) {
  serve();
  beginWithTokenKey();
  tellPartition("deactivate", 0);
  expectSigning(20);
  EXPECT_TRUE(awaitMessage("member: " + store.serial(0) + " deactivated"));
  EXPECT_TRUE(awaitMessage("recovery attempt # failed for member: " + store.serial(0) +
                           ". Code: 0x00000101 : "
                           "CKR_USER_NOT_LOGGED_IN."));
  tellPartition("activate", 0);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  EXPECT_EQ(logged("recovery attempt # member " + store.serial(0) +
                   " is now activated and will be reintroduce back into the HA group."),
            1);
  EXPECT_EQ(logged("member: " + store.serial(0) + " deactivated"), 1);
  tellPartition("deactivate", 1);
  expectSigning();
}

TEST_F(MemberLife, DeactivatedAndTold) {
  ha = "   failover_on_deactivation = 0;\n";
  serve();
  beginWithTokenKey();
  tellPartition("deactivate", 0);
  std::vector<CK_RV> rvs;
  for (int i = 0; i < 10; ++i) rvs.push_back(sign());
  EXPECT_EQ(std::count(rvs.begin(), rvs.end(), CKR_USER_NOT_LOGGED_IN), 1);
  EXPECT_EQ(std::count(rvs.begin(), rvs.end(), CKR_OK), 9);
  EXPECT_TRUE(awaitMessage("member: " + store.serial(0) + " deactivated"));
  tellPartition("activate", 0);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  EXPECT_EQ(logged("recovery attempt # member " + store.serial(0) +
                   " is now activated and will be reintroduce back into the HA group."),
            1);
  EXPECT_EQ(logged("member: " + store.serial(0) + " deactivated"), 1);
  expectSigning();
}

TEST_F(MemberLife, DeactivatedBeforeTheLogin) {
  serve();
  initialize();
  tellPartition("deactivate", 0);
  EXPECT_EQ(client.login(session, "wrong pin"), CKR_PIN_INCORRECT);
  EXPECT_EQ(client.login(session), CKR_OK);
  ASSERT_EQ(generateTokenKey(key), CKR_OK);
  expectSigning();
  EXPECT_TRUE(awaitMessage("member: " + store.serial(0) + " deactivated"));
  EXPECT_EQ(haLog().find("can not login"), std::string::npos);
  tellPartition("activate", 0);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  expectSigning();
}

TEST_F(MemberLife, NobodyIsActivated) {
  serve();
  initialize();
  tellPartition("deactivate", 0);
  tellPartition("deactivate", 1);
  EXPECT_EQ(client.login(session), CKR_USER_NOT_LOGGED_IN);
  tellPartition("activate", 0);
  tellPartition("activate", 1);
  // At once: they were not lost.
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_EQ(logged("member: " + store.serial(0) + " deactivated"), 0);
}

TEST_F(MemberLife, RevokedAndRestored) {
  serve();
  beginWithTokenKey();
  tellPartition("revoke", 0);
  expectSigning();
  EXPECT_TRUE(awaitMessage("has dropped member: " + store.serial(0)));
  EXPECT_TRUE(awaitMessage("recovery attempt 2 failed for member: " + store.serial(0) +
                           ". Code: 0x000000E0 : CKR_TOKEN_NOT_PRESENT."));
  EXPECT_EQ(logged("member: " + store.serial(0) + " revoked"), 1);
  tellPartition("restore", 0);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  expectSigning();
}

TEST_F(MemberLife, RevokedAtFirst) {
  serve();
  tellPartition("revoke", 0);
  beginWithTokenKey();
  expectSigning();
  EXPECT_EQ(logged("unable to reach member: " + store.serial(0) +
                   ". Manual Recover or Auto Recovery will be able to recover this member"),
            1);
  EXPECT_TRUE(awaitMessage("member: " + store.serial(0) + " revoked"));
  tellPartition("restore", 0);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  expectSigning();
}

TEST_F(MemberLife, AMemberOfTheOtherKindIsRefused) {
  serve({.partitions = kPedOne});
  beginWithTokenKey();
  expectSigning();
  EXPECT_EQ(logged("configured as a \"PASSWORD Based\" virtual device"), 1);
  EXPECT_EQ(logged("p11ha: member " + store.serial(1) + " is refused: it is PED based, the group PASSWORD based"), 1);
}

TEST_F(MemberLife, WithoutAPinWhereAllMembersArePedBased) {
  serve({.partitions = kPedZero + kPedOne});
  initialize();
  EXPECT_EQ(logged("configured as a \"PED Based\" virtual device"), 1);
  CK_TOKEN_INFO info{};
  ASSERT_EQ(client.f->C_GetTokenInfo(0, &info), CKR_OK);
  EXPECT_NE(info.flags & CKF_PROTECTED_AUTHENTICATION_PATH, 0U);
  ASSERT_EQ(client.f->C_Login(session, CKU_USER, nullptr, 0), CKR_OK);
  ASSERT_EQ(generateTokenKey(key), CKR_OK);
  EXPECT_EQ(sign(), CKR_OK);
  // And a recovery logs in the same way.
  for (const std::size_t member : {0UL, 1UL}) {
    tellPartition("deactivate", member);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(sign(), CKR_OK);
    EXPECT_TRUE(awaitMessage("member: " + store.serial(member) + " deactivated"));
    tellPartition("activate", member);
    EXPECT_TRUE(awaitMessage(recovered(member)));
  }
  EXPECT_EQ(sign(), CKR_OK);
  EXPECT_EQ(haLog().find("can not login"), std::string::npos);
}

TEST_F(MemberLife, LostInsideALogin) {
  serve({.module = P11HA_BINARY_DIR "/lib/p11ha-failing.so"});
  initialize();
  rule("fail serial:" + store.serial(0) + " C_Login CKR_DEVICE_ERROR");
  EXPECT_EQ(client.login(session), CKR_OK);
  ASSERT_EQ(generateTokenKey(key), CKR_OK);
  expectSigning();
  EXPECT_TRUE(awaitMessage("can not login to member: " + store.serial(0) +
                           ", autorecovery will be disabled. Code: 0x00000030 : CKR_DEVICE_ERROR"));
  rule("heal serial:" + store.serial(0));
  EXPECT_EQ(logout(), CKR_OK);
  EXPECT_EQ(logged("Re-enable auto recovery process for member: " + store.serial(0)), 0);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_TRUE(awaitMessage(recovered(0)));
  EXPECT_EQ(logged("Re-enable auto recovery process for member: " + store.serial(0)), 1);
}

TEST_F(MemberLife, AnotherPinOnAnotherMember) {
  serve();
  changePin(1, "12345678", "87654321");
  initialize();
  EXPECT_EQ(client.login(session), CKR_OK);
  ASSERT_EQ(generateTokenKey(key), CKR_OK);
  expectSigning();
  EXPECT_TRUE(awaitMessage("can not login to member: " + store.serial(1) +
                           ", autorecovery will be disabled. Code: 0x000000A0 : CKR_PIN_INCORRECT"));
  changePin(1, "87654321", "12345678");
  // Only when it starts does SoftHSM read what the PIN is.
  kill(workerOf("alice"), SIGKILL);
  EXPECT_TRUE(await([&] { return client.random(session) == CKR_OK && logged(recovered(0)) == 1; }, recovered(0)));
  EXPECT_EQ(logout(), CKR_OK);
  EXPECT_EQ(client.login(session), CKR_OK);
  EXPECT_TRUE(awaitMessage(recovered(1)));
  EXPECT_EQ(logged("Re-enable auto recovery process for member: " + store.serial(1)), 1);
}

TEST_F(MemberLife, AMemberWithoutWhatItHeldIsNotTheOneItWas) {
  serve();
  beginWithTokenKey();
  EXPECT_EQ(ctl("revoke " + store.serial(1) + " alice").first, 0);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(client.random(session), CKR_OK);
  ASSERT_TRUE(awaitMessage("has dropped member: " + store.serial(1)));
  const auto bob = greeted("bob", 1);
  ASSERT_TRUE(bob);
  const CK_SESSION_HANDLE its = open(*bob);
  ASSERT_EQ(login(*bob, its), CKR_OK);
  const auto held = objectsOf(*bob, its);
  EXPECT_EQ(held.size(), 2U) << "the key, and the record of it";
  for (const CK_OBJECT_HANDLE object : held) EXPECT_EQ(bob->call(makeCall<Fn::DestroyObject>(its, object)), CKR_OK);
  EXPECT_EQ(ctl("restore " + store.serial(1) + " alice").first, 0);
  EXPECT_TRUE(awaitMessage("recovery attempt # failed for member: " + store.serial(1) +
                           ". Manual Recover or Auto Recovery will not be able to recover this member. Code: "
                           "0x000000E1 : CKR_TOKEN_NOT_RECOGNIZED"));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(client.random(session), CKR_OK);
  EXPECT_TRUE(objectsOf(*bob, its).empty()) << "nothing is copied to it";
  EXPECT_EQ(haLog().find("succeeded"), std::string::npos);
}

// The module has not heard yet that the login has ended; whoever asks how the session is has to.
TEST_F(MemberLife, AnEndedLoginIsSeenBeforeTheModuleHasEndedIt) {
  start({.module = P11HA_BINARY_DIR "/lib/p11ha-failing.so"});
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  const CK_SESSION_HANDLE its = open(*alice);
  ASSERT_EQ(login(*alice, its), CKR_OK);
  rule("hang any C_Logout");
  tellPartition("deactivate", 0);
  ASSERT_TRUE(await([&] { return waiting().find("C_Logout") != std::string::npos; }, "the appliance's logout"));
  CK_SESSION_INFO info{};
  EXPECT_EQ(alice->call(makeCall<Fn::GetSessionInfo>(its, &info)), CKR_OK);
  EXPECT_EQ(info.state, CKS_RW_PUBLIC_SESSION);
  rule("heal any");
}

TEST_F(ApplianceTest, AnotherTokenBehindANewConnectionIsNotTakenForThePartition) {
  const std::filesystem::path lies = store.folder() / "lies";
  std::filesystem::create_directory(lies);
  setenv("P11HA_LIAR", store.serial(0).c_str(), 1);
  setenv("P11HA_LIES", lies.c_str(), 1);
  start({.module = P11HA_BINARY_DIR "/lib/p11ha-lying.so"});
  transport::ClientSettings settings;
  settings.tls = clientFiles("alice");
  settings.servers.push_back({"localhost", port});
  auto made = transport::Client::make(settings);
  ASSERT_TRUE(made) << made.error();
  transport::RemoteMember before(**made, store.serial(0), 0);
  ASSERT_EQ(before.attach(), CKR_OK);
  const std::ofstream begins(lies / "another token");
  transport::RemoteMember after(**made, store.serial(0), 0);
  EXPECT_EQ(after.attach(), CKR_TOKEN_NOT_RECOGNIZED);
  EXPECT_EQ(before.attach(), CKR_TOKEN_NOT_RECOGNIZED);
  unsetenv("P11HA_LIES");
}

}  // namespace
}  // namespace p11ha::tests
