// Configuration with faults: what is faulty is left out and said in one line, and the rest works.
#include "cryptoki/text.h"
#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupConfiguration : public GroupTest {
 protected:
  /// C_Initialize, and what it wrote to stderr.
  CK_RV initialize() {
    client.f = module();
    testing::internal::CaptureStderr();
    const CK_RV rv = client.f->C_Initialize(nullptr);
    said = testing::internal::GetCapturedStderr();
    return rv;
  }
  /// One line, which has this in it.
  void expectOneLine(const std::string& part) const {
    EXPECT_EQ(countOf(said, "\n"), 1U) << said;
    EXPECT_NE(said.find(part), std::string::npos) << said;
    EXPECT_EQ(said.rfind("p11ha: ", 0), 0U) << said;
    EXPECT_LT(said.size(), 1000U);
  }
  /// The groups' labels, in the order of their slots.
  std::string groups() const {
    std::string labels;
    for (const CK_SLOT_ID slot : client.slots(CK_TRUE)) {
      CK_TOKEN_INFO info{};
      EXPECT_EQ(client.f->C_GetTokenInfo(slot, &info), CKR_OK);
      labels += (labels.empty() ? "" : " ") + cryptoki::unpad(info.label);
    }
    return labels;
  }
  void expectWorks(CK_SLOT_ID slot = 0) const {
    const CK_SESSION_HANDLE session = client.open(slot);
    EXPECT_EQ(client.login(session), CKR_OK);
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(client.createKey(session, key), CKR_OK);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(client.sign(session, key), CKR_OK);
  }
  /// Groups "demo" over the first two members, and this second one.
  void configureSecond(const std::string& second) const {
    configure(configuration(group("00", "demo", "1000", store.serial(0) + "," + store.serial(1)) + second,
                            "   HAOnly = 1;\n", theModule()));
  }

  Client client{nullptr};
  std::string said;
};

TEST_F(GroupConfiguration, AMissingFile) {
  std::filesystem::remove(file());
  EXPECT_EQ(initialize(), CKR_GENERAL_ERROR);
  expectOneLine(file());
  EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_CRYPTOKI_NOT_INITIALIZED);
  configure(configuration());
  EXPECT_EQ(initialize(), CKR_OK) << "once there is a file";
  EXPECT_EQ(said, "");
  expectWorks();
}

TEST_F(GroupConfiguration, AFolderInsteadOfAFile) {
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  EXPECT_EQ(initialize(), CKR_GENERAL_ERROR);
  expectOneLine("a directory");
}

TEST_F(GroupConfiguration, AnUnknownSerial) {
  configureSecond(group("01", "other", "2000", store.serial(2) + ", 4711"));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("4711");
  EXPECT_EQ(groups(), "demo other");
  expectWorks(0);
  expectWorks(1);
}

TEST_F(GroupConfiguration, ASerialTwiceInAGroup) {
  configureSecond(group("01", "other", "2000", store.serial(2) + ", " + store.serial(2)));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("VirtualToken01Members");
  EXPECT_EQ(groups(), "demo");
  expectWorks();
}

TEST_F(GroupConfiguration, ASerialInTwoGroups) {
  configureSecond(group("01", "other", "2000", store.serial(1)));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("VirtualToken01Members");
  EXPECT_EQ(groups(), "demo");
  expectWorks();
}

TEST_F(GroupConfiguration, AGroupWithNoMember) {
  configureSecond(group("01", "other", "2000", ""));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("VirtualToken01Members");
  EXPECT_EQ(groups(), "demo");
  expectWorks();
}

TEST_F(GroupConfiguration, ALabelUsedTwice) {
  configureSecond(group("01", "demo", "2000", store.serial(2)));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("VirtualToken01Label");
  EXPECT_EQ(groups(), "demo");
  expectWorks();
}

TEST_F(GroupConfiguration, ABadNumber) {
  configure(configuration(theGroup(), "   HAOnly = 1;\n   logLen = plenty;\n", theModule()));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("logLen");
  expectWorks();
}

TEST_F(GroupConfiguration, ALineOfAMegabyte) {
  configure(configuration(theGroup(), "   HAOnly = 1;\n   Long = " + std::string(1 << 20, 'x') + ";\n", theModule()));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("Long");
  EXPECT_EQ(groups(), "demo");
  expectWorks();
}

TEST_F(GroupConfiguration, AMemberListOfAMegabyte) {
  configureSecond(group("01", "other", "2000", std::string(1 << 20, 'x')));
  ASSERT_EQ(initialize(), CKR_OK);
  EXPECT_NE(said.find("VirtualToken01Members"), std::string::npos);
  EXPECT_LT(said.size(), 2000U);
  expectWorks();
}

TEST_F(GroupConfiguration, BinaryGarbageOnly) {
  std::string garbage;
  for (unsigned i = 0; i < 4096; ++i) garbage += static_cast<char>((i * 2654435761U) >> 13);
  configure(garbage);
  const CK_RV rv = initialize();
  EXPECT_NE(said, "");
  if (rv == CKR_OK) {
    EXPECT_EQ(groups(), "");
  }
}

TEST_F(GroupConfiguration, BinaryGarbageBehindTheGroups) {
  std::string garbage;
  for (unsigned i = 0; i < 256; ++i) garbage += static_cast<char>((i * 2654435761U) >> 13);
  configure(configuration() + garbage);
  ASSERT_EQ(initialize(), CKR_OK);
  EXPECT_NE(said, "");
  EXPECT_EQ(groups(), "demo");
  expectWorks();
}

TEST_F(GroupConfiguration, AModuleThatIsMissing) {
  configure(configuration(theGroup(), "", theModule() + "   Module01Path = /nonexistent/lib.so;\n"));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("/nonexistent/lib.so");
  expectWorks();
}

TEST_F(GroupConfiguration, AModuleThatIsNoLibrary) {
  configure(configuration(theGroup(), "", theModule() + "   Module01Path = " + file() + ";\n"));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine(file());
  expectWorks();
}

TEST_F(GroupConfiguration, AModuleWithoutFunctions) {
  configure(configuration(theGroup(), "", theModule() + "   Module01Path = libm.so.6;\n"));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("C_GetFunctionList");
  expectWorks();
}

// The members of a module that cannot be used are down; those of another module work.
TEST_F(GroupConfiguration, AModuleWhoseInitializeFails) {
  tell("fail any C_Initialize CKR_FUNCTION_FAILED");
  configure(configuration(theGroup(), "",
                          "   Module00Path = " + kFailingModule + ";\n   Module01Path = " + kSoftHsmModule + ";\n"));
  ASSERT_EQ(initialize(), CKR_OK);
  expectOneLine("CKR_FUNCTION_FAILED");
  expectWorks();
}

TEST_F(GroupConfiguration, NoModuleAtAllLeavesTheGroupInItsSlot) {
  configure(configuration(theGroup(), "", "   Module00Path = /nonexistent/lib.so;\n"));
  ASSERT_EQ(initialize(), CKR_OK);
  EXPECT_NE(said.find("/nonexistent/lib.so"), std::string::npos);
  EXPECT_EQ(groups(), "demo");
  const CK_SESSION_HANDLE session = client.open(0);
  EXPECT_EQ(client.login(session), CKR_DEVICE_ERROR);
  EXPECT_EQ(client.random(session), CKR_DEVICE_ERROR);
}

}  // namespace
}  // namespace p11ha::tests
