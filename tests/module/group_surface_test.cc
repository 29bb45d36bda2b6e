// What an application sees of libp11ha.so before it does anything.
#include <cstdio>
#include <set>

#include "cryptoki/function.h"
#include "cryptoki/text.h"
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

TEST(GroupExports, AreTheFunctionsAndNothingElse) {
  std::FILE* symbols = popen(("nm -D --defined-only --format=posix '" + kGroupModule + "'").c_str(), "r");
  ASSERT_NE(symbols, nullptr);
  std::set<std::string> exported;
  char name[256];
  while (std::fscanf(symbols, "%255s%*[^\n]", name) == 1) exported.insert(name);
  pclose(symbols);
  std::set<std::string> expected;
  for (std::size_t i = 0; i < cryptoki::kFunctionCount; ++i) {
    expected.emplace(cryptoki::function(static_cast<cryptoki::Fn>(i)).name);
  }
  EXPECT_EQ(expected.size(), 92U);
  EXPECT_EQ(exported, expected);
}

TEST(GroupExports, EachInterfaceIsOffered) {
  void* library = dlopen(kGroupModule.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto getList = reinterpret_cast<CK_C_GetInterfaceList>(dlsym(library, "C_GetInterfaceList"));
  CK_ULONG count = 0;
  EXPECT_EQ(getList(nullptr, nullptr), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(getList(nullptr, &count), CKR_OK);
  ASSERT_EQ(count, 2U);
  CK_INTERFACE interfaces[2];
  count = 1;
  EXPECT_EQ(getList(interfaces, &count), CKR_BUFFER_TOO_SMALL);
  EXPECT_EQ(count, 2U);
  ASSERT_EQ(getList(interfaces, &count), CKR_OK);

  const auto getInterface = reinterpret_cast<CK_C_GetInterface>(dlsym(library, "C_GetInterface"));
  for (CK_INTERFACE& offered : interfaces) {
    EXPECT_STREQ(reinterpret_cast<const char*>(offered.pInterfaceName), "PKCS 11");
    auto* version = static_cast<CK_VERSION*>(offered.pFunctionList);
    CK_INTERFACE_PTR same = nullptr;
    ASSERT_EQ(getInterface(offered.pInterfaceName, version, &same, 0), CKR_OK);
    EXPECT_EQ(same->pFunctionList, offered.pFunctionList);
  }
  CK_INTERFACE_PTR any = nullptr;
  ASSERT_EQ(getInterface(nullptr, nullptr, &any, 0), CKR_OK);
  EXPECT_EQ(static_cast<CK_VERSION*>(any->pFunctionList)->major, 3) << "the newest, when none is named";
  CK_VERSION unknown{9, 9};
  EXPECT_EQ(getInterface(nullptr, &unknown, &any, 0), CKR_ARGUMENTS_BAD);
  CK_UTF8CHAR vendor[] = "Vendor";
  EXPECT_EQ(getInterface(vendor, nullptr, &any, 0), CKR_ARGUMENTS_BAD);
  EXPECT_EQ(getInterface(nullptr, nullptr, nullptr, 0), CKR_ARGUMENTS_BAD);

  const auto getFunctionList = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST_PTR old = nullptr;
  EXPECT_EQ(getFunctionList(nullptr), CKR_ARGUMENTS_BAD);
  ASSERT_EQ(getFunctionList(&old), CKR_OK);
  EXPECT_EQ(old->version.major, 2);
  EXPECT_EQ(old->version.minor, 40);
}

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
