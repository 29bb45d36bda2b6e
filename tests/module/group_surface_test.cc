// What an application sees of libp11ha.so: its beginning and end, its slots and tokens.
#include <set>

#include "cryptoki/text.h"
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

using GroupSurface = GroupTest;

TEST_F(GroupSurface, BeginsAndEndsFiftyTimes) {
  auto* f = module();
  const Client client(f);
  for (int cycle = 0; cycle < 50; ++cycle) {
    ASSERT_EQ(f->C_Initialize(nullptr), CKR_OK) << cycle;
    EXPECT_EQ(f->C_Initialize(nullptr), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    const CK_SESSION_HANDLE session = client.open(0);
    EXPECT_EQ(client.login(session), CKR_OK) << "the login ended with the cycle before";
    EXPECT_EQ(client.random(session), CKR_OK);
    ASSERT_EQ(f->C_Finalize(nullptr), CKR_OK) << cycle;
    EXPECT_EQ(client.random(session), CKR_CRYPTOKI_NOT_INITIALIZED);
  }
  EXPECT_EQ(logged("management thread started"), 50U);
  EXPECT_EQ(logged("management thread terminated"), 50U);
  EXPECT_EQ(logged("\n"), 150U) << log();
}

TEST_F(GroupSurface, AnswersNothingBeforeAndAfter) {
  auto* f = module();
  CK_INFO info{};
  CK_ULONG count = 0;
  EXPECT_EQ(f->C_Finalize(nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(f->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(f->C_GetSlotList(CK_TRUE, nullptr, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
  EXPECT_EQ(f->C_CloseSession(1), CKR_CRYPTOKI_NOT_INITIALIZED);
  ASSERT_EQ(f->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(f->C_GetInfo(&info), CKR_OK);
  EXPECT_EQ(f->C_Finalize(&info), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(f->C_Finalize(nullptr), CKR_OK);
  EXPECT_EQ(f->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
}

void expectGroup(CK_FUNCTION_LIST_3_0_PTR f, CK_SLOT_ID slot) {
  CK_SLOT_INFO slotInfo{};
  ASSERT_EQ(f->C_GetSlotInfo(slot, &slotInfo), CKR_OK);
  EXPECT_EQ(cryptoki::unpad(slotInfo.slotDescription), "HA Virtual Card Slot");
  EXPECT_NE(slotInfo.flags & CKF_TOKEN_PRESENT, 0U);
  CK_TOKEN_INFO info{};
  ASSERT_EQ(f->C_GetTokenInfo(slot, &info), CKR_OK);
  EXPECT_EQ(cryptoki::unpad(info.label), "demo");
  EXPECT_EQ(cryptoki::unpad(info.serialNumber), "1000");
  EXPECT_EQ(cryptoki::unpad(info.model).rfind("LunaVirtual", 0), 0U);
  EXPECT_NE(info.flags & CKF_TOKEN_INITIALIZED, 0U);
  EXPECT_NE(info.flags & CKF_USER_PIN_INITIALIZED, 0U);
}

TEST_F(GroupSurface, ShowsOnlyTheGroupWithHaOnly) {
  const Client client(module());
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(client.slots(CK_TRUE), std::vector<CK_SLOT_ID>{0});
  expectGroup(client.f, 0);
  CK_SLOT_INFO info{};
  EXPECT_EQ(client.f->C_GetSlotInfo(1, &info), CKR_SLOT_ID_INVALID);
}

TEST_F(GroupSurface, ShowsMembersFirstWithoutHaOnly) {
  configure(configuration(theGroup(), "   HAOnly = 0;\n", theModule()));
  const Client client(module());
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  EXPECT_EQ(client.slots(CK_TRUE), (std::vector<CK_SLOT_ID>{0, 1, 2, 3}));
  std::set<std::string> serials;
  for (CK_SLOT_ID slot = 0; slot < 3; ++slot) {
    CK_SLOT_INFO slotInfo{};
    ASSERT_EQ(client.f->C_GetSlotInfo(slot, &slotInfo), CKR_OK);
    EXPECT_EQ(cryptoki::unpad(slotInfo.slotDescription), "Net Token Slot");
    CK_TOKEN_INFO info{};
    ASSERT_EQ(client.f->C_GetTokenInfo(slot, &info), CKR_OK);
    serials.insert(cryptoki::unpad(info.serialNumber));
  }
  EXPECT_EQ(serials, std::set<std::string>(store.serials().begin(), store.serials().end()));
  expectGroup(client.f, 3);
  EXPECT_EQ(client.login(client.open(3)), CKR_OK);
}

TEST_F(GroupSurface, SlotsDoNotMoveWhenAMemberFails) {
  configure(configuration(theGroup(), "   HAOnly = 0;\n", theModule()));
  const Client client(module());
  ASSERT_EQ(client.f->C_Initialize(nullptr), CKR_OK);
  tell("fail " + member(0) + " * CKR_DEVICE_ERROR");
  expectGroup(client.f, 3);
  EXPECT_EQ(client.slots(CK_FALSE), (std::vector<CK_SLOT_ID>{0, 1, 2, 3}));
}

}  // namespace
}  // namespace p11ha::tests
