// A module that lies costs what it shows, never the application nor the other members.
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

struct Lie {
  const char* about;
  std::size_t liar;  // which member
};
void PrintTo(const Lie& lie, std::ostream* out) { *out << lie.about; }

class GroupLyingMember : public GroupTest, public testing::WithParamInterface<Lie> {
 protected:
  GroupLyingMember() {
    setenv("P11HA_LIE", GetParam().about, 1);
    setenv("P11HA_LIAR", store.serial(GetParam().liar).c_str(), 1);
    configure(configuration(
        theGroup(), "   HAOnly = 1;\n",
        "   Module00Path = " P11HA_BINARY_DIR "/lib/p11ha-lying.so;\n   Module01Path = " + kFailingModule + ";\n"));
  }
  ~GroupLyingMember() override { unsetenv("P11HA_LIE"); }
};

TEST_P(GroupLyingMember, CostsNobodyElse) {
  const Client client(module());
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  const CK_SESSION_HANDLE session = client.open(0);
  ASSERT_EQ(client.login(session), CKR_OK);
  CK_MECHANISM generation{CKM_AES_KEY_GEN, nullptr, 0};
  Template wanted{flag(CKA_TOKEN),       flag(CKA_PRIVATE),   flag(CKA_SIGN),
                  flag(CKA_EXTRACTABLE), flag(CKA_SENSITIVE), {CKA_VALUE_LEN, &aesLength, sizeof aesLength}};
  CK_OBJECT_HANDLE key = 0;
  ASSERT_EQ(client.f->C_GenerateKey(session, &generation, wanted.data(), wanted.size(), &key), CKR_OK);
  for (int i = 0; i < 6; ++i) {
    CK_MECHANISM mechanism{CKM_AES_CMAC, nullptr, 0};
    CK_BYTE data[16] = {};
    CK_BYTE mac[16];
    CK_ULONG length = sizeof mac;
    ASSERT_EQ(client.f->C_SignInit(session, &mechanism, key), CKR_OK);
    EXPECT_EQ(client.f->C_Sign(session, data, sizeof data, mac, &length), CKR_OK);
  }
  EXPECT_EQ(client.f->C_DestroyObject(session, key), CKR_OK);
}

class GroupSwappedMember : public GroupTest {
 protected:
  GroupSwappedMember() {
    setenv("P11HA_LIAR", store.serial(0).c_str(), 1);
    setenv("P11HA_LIES", lies().c_str(), 1);
    std::filesystem::create_directory(lies());
    configure(configuration(
        theGroup(), "   HAOnly = 1;\n",
        "   Module00Path = " P11HA_BINARY_DIR "/lib/p11ha-lying.so;\n   Module01Path = " + kFailingModule + ";\n"));
  }
  ~GroupSwappedMember() override { unsetenv("P11HA_LIES"); }

  std::string lies() const { return (store.folder() / "lies").string(); }
};

TEST_F(GroupSwappedMember, AnotherTokenInItsSlotIsNotTakenForIt) {
  const Client client(module());
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  const CK_SESSION_HANDLE session = client.open(0);
  ASSERT_EQ(client.login(session), CKR_OK);
  const std::ofstream swapped(lies() + "/another token");
  const std::ofstream fails(lies() + "/no random");
  for (int i = 0; i < 6; ++i) EXPECT_EQ(client.random(session), CKR_OK);
  const std::string line = "failed for member: " + store.serial(0) +
                           ". Manual Recover or Auto Recovery will not be able to recover this member. Code: "
                           "0x000000E1 : CKR_TOKEN_NOT_RECOGNIZED\n";
  EXPECT_TRUE(await([&] { return countOf(log(), line) == 1; }, line));
  EXPECT_EQ(countOf(log(), "has dropped member: " + store.serial(0)), 1U);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(client.random(session), CKR_OK);
}

INSTANTIATE_TEST_SUITE_P(About, GroupLyingMember,
                         testing::Values(Lie{"no list", 0}, Lie{"an old list", 0}, Lie{"many slots", 0},
                                         Lie{"more slots than room", 0}, Lie{"many mechanisms", 0},
                                         Lie{"more mechanisms than room", 0}, Lie{"no attributes", 2},
                                         Lie{"a long wrapped key", 0}, Lie{"a wrapped key longer than room", 0}),
                         [](const auto& each) {
                           std::string name = each.param.about;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace p11ha::tests
