// The configuration file is changed while the application signs.
#include <atomic>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupReconfigure : public WorkingGroup {
 protected:
  void SetUp() override {
    configure(naming({0, 1}));
    WorkingGroup::SetUp();
    ASSERT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "pair", pair), CKR_OK);
    signing = std::thread([this] {
      const CK_SESSION_HANDLE own = client.open(0);
      while (!enough) {
        Bytes signature;
        if (sign(own, CKM_ECDSA, pair.privateKey, signature) == CKR_OK) {
          ++made;
        } else {
          ++failed;
        }
      }
    });
  }
  void TearDown() override {
    const unsigned long before = made;
    await([&] { return made > before + 10; }, "signatures to the end");
    enough = true;
    if (signing.joinable()) signing.join();
    EXPECT_EQ(failed, 0U);
  }

  std::string naming(const std::vector<std::size_t>& members, const std::string& ha = {},
                     const std::string& more = {}) const {
    std::string list;
    for (const std::size_t index : members) list += (list.empty() ? "" : ", ") + store.serial(index);
    return configuration(group("00", "demo", "1000", list), "   HAOnly = 1;\n" + ha, theModule()) + more;
  }
  /// As an editor does it that writes another file first.
  void replace(const std::string& written) const {
    std::ofstream(file() + ".new", std::ios::binary) << written;
    std::filesystem::rename(file() + ".new", file());
  }
  std::string with(std::string written, const std::string& before, const std::string& after) const {
    const std::size_t at = written.find(before);
    EXPECT_NE(at, std::string::npos) << before;
    return at == std::string::npos ? written : written.replace(at, before.size(), after);
  }
  /// The member answers calls of the application from now on, or does not.
  void awaitServing(std::size_t index) const {
    const unsigned long before = asked(index, "C_Sign");
    await([&] { return asked(index, "C_Sign") > before; }, "signatures of member " + std::to_string(index));
  }
  void awaitIdle(std::size_t index) const {
    await(
        [&] {
          const unsigned long before = asked(index, "C_Sign");
          const unsigned long others = made;
          await([&] { return made > others + 20; }, "signatures");
          return asked(index, "C_Sign") == before;
        },
        "no signature of member " + std::to_string(index));
  }

  Pair pair;
  std::thread signing;
  std::atomic<bool> enough{false};
  std::atomic<unsigned long> made{0};
  std::atomic<unsigned long> failed{0};
};

TEST_F(GroupReconfigure, AThirdMemberIsAdded) {
  configure(naming({0, 1, 2}));
  awaitLog("detected new member member: " + store.serial(2));
  awaitLog("recovery attempt 1 succeeded for member: " + store.serial(2));
  EXPECT_EQ(logged("reintroducing 2 token objects to recovered token " + store.serial(2)), 1U) << log();
  awaitServing(2);
  EXPECT_EQ(onEach({text(CKA_LABEL, "pair")}), "2 2 2");
}

TEST_F(GroupReconfigure, AMemberIsRemovedAndAddedAgain) {
  replace(naming({1}));
  awaitLog("has dropped member: " + store.serial(0));
  awaitIdle(0);
  Pair another;
  EXPECT_EQ(generate(CKM_EC_KEY_PAIR_GEN, "later", another), CKR_OK);
  EXPECT_EQ(onEach({text(CKA_LABEL, "later")}), "0 2 0");
  EXPECT_EQ(logged("recovery attempt"), 0U) << log();

  replace(naming({0, 1}));
  awaitLog("succeeded for member: " + store.serial(0));
  awaitServing(0);
  EXPECT_EQ(onEach({text(CKA_LABEL, "later")}), "2 2 0") << "what it missed";
  EXPECT_EQ(logged("has dropped member"), 1U) << log();
}

TEST_F(GroupReconfigure, AStandbyMemberIsNamedAndPromoted) {
  configure(naming({0, 1}, "   demoStandbyMembers = " + store.serial(0) + ";\n"));
  awaitIdle(0);
  awaitServing(1);
  configure(naming({0, 1}));
  awaitServing(0);
}

TEST_F(GroupReconfigure, TheIntervalCountsAtOnce) {
  // What has to wait is said of what was taken over.
  const std::string slow = with(naming({0, 1}, "   HAOnly = 0;\n"), "Interval = 1;", "Interval = 1200;");
  configure(with(slow, "   HAOnly = 1;\n", ""));
  awaitLog("HAOnly counts from the next C_Initialize");
  tell("fail " + member(1) + " C_Sign CKR_DEVICE_REMOVED");
  awaitLog("has dropped member: " + store.serial(1));
  tell("heal");
  configure(naming({0, 1}));
  awaitLog("succeeded for member: " + store.serial(1));
  awaitServing(1);
}

TEST_F(GroupReconfigure, ARaisedCounterRecoversAMemberThatWasGivenUp) {
  const std::string twice = with(naming({0, 1}), "reconnAtt = -1;", "reconnAtt = 2;");
  configure(twice);
  tell("fail " + member(1) + " * CKR_DEVICE_REMOVED");
  awaitLog("exceeded maximum number of autorecovery attempts for member: " + store.serial(1));
  tell("heal");
  configure(twice + "HARecovery = {\n   demo = 1;\n}\n");
  awaitLog("Re-enable auto recovery process for member: " + store.serial(1));
  awaitLog("succeeded for member: " + store.serial(1));
  awaitServing(1);
}

TEST_F(GroupReconfigure, ABrokenFileChangesNothingAndIsReportedOnce) {
  testing::internal::CaptureStderr();
  const std::string broken = with(naming({0, 1, 2}), "reconnAtt = -1;", "reconnAtt = often;");
  configure(broken);
  awaitLog("p11ha: " + file() + " has changed and is not taken over: line ");
  replace(broken + "# once more\n");
  const std::string another = with(naming({0, 1, 2}), "Label = demo", "Label = other");
  replace(with(with(another, "SN = 1000", "SN = 1001"), "   demo = 1;\n", ""));
  awaitLog("is not taken over: group 1000 is not in it, and runs");
  EXPECT_EQ(logged("is not taken over: line "), 1U) << log();
  EXPECT_EQ(logged("detected new member"), 0U) << log();
  replace(naming({0, 1, 2}));
  awaitLog("succeeded for member: " + store.serial(2));
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(countOf(said, "is not taken over: line "), 1U) << said;
  EXPECT_EQ(countOf(said, "is not taken over: group "), 1U) << said;
}

TEST_F(GroupReconfigure, AMissingFileChangesNothing) {
  testing::internal::CaptureStderr();
  std::filesystem::remove(file());
  awaitLog(" has changed and is not taken over: ");
  configure(naming({0, 1, 2}));
  awaitLog("succeeded for member: " + store.serial(2));
  testing::internal::GetCapturedStderr();
}

TEST_F(GroupReconfigure, WhatCannotBeDoneNowIsSaidOnce) {
  const std::string second = group("01", "second", "2000", store.serial(2));
  const auto both = [&](const std::string& comment) {
    return with(with(naming({0, 1}), "}\n", second + "}\n"), "HAOnly = 1", "HAOnly = 0") + comment;
  };
  replace(both({}));
  awaitLog("has changed: HAOnly counts from the next C_Initialize");
  awaitLog("has changed: group 2000 counts from the next C_Initialize");
  replace(both("# once more\n"));
  replace(with(both({}), ", " + store.serial(1), ""));
  awaitLog("has dropped member: " + store.serial(1));
  EXPECT_EQ(logged("counts from the next C_Initialize"), 2U) << log();
  EXPECT_EQ(client.slots(CK_TRUE).size(), 1U);
}

class GroupReconfigureLinked : public GroupReconfigure {
 protected:
  GroupReconfigureLinked() { std::filesystem::create_directory(store.folder() / "real"); }
  void SetUp() override {
    std::filesystem::rename(file(), real());
    std::filesystem::create_symlink(real(), file());
    GroupReconfigure::SetUp();
  }
  std::string real() const { return (store.folder() / "real" / "file").string(); }
};

TEST_F(GroupReconfigureLinked, TheFileBehindALinkIsReplaced) {
  std::ofstream(real() + ".new", std::ios::binary) << naming({0, 1, 2});
  std::filesystem::rename(real() + ".new", real());
  awaitLog("succeeded for member: " + store.serial(2));
  awaitServing(2);
}

// The group begins without the module that its third member needs.
class GroupReconfigureModule : public GroupReconfigure {
 protected:
  GroupReconfigureModule() {
    setenv("P11HA_LIAR", store.serial(2).c_str(), 1);
    setenv("P11HA_LIE", "nothing", 1);
  }
};

TEST_F(GroupReconfigureModule, AModuleThatANewMemberNeedsIsLoaded) {
  const std::string lying = "   Module01Path = " P11HA_BINARY_DIR "/lib/p11ha-lying.so;\n   Module01Serial = new;\n";
  const std::string wanted = with(with(naming({0, 1}), store.serial(1) + ";", store.serial(1) + ", new;"),
                                  "   CloningPolicy", lying + "   CloningPolicy");
  testing::internal::CaptureStderr();
  configure(wanted);
  awaitLog("detected new member member: new");
  awaitLog("succeeded for member: new");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.find("nobody shows"), std::string::npos) << said;
  EXPECT_EQ(logged("counts from the next C_Initialize"), 0U) << log();
}

TEST_F(GroupReconfigureModule, AMemberThatIsNamedBeforeItsModuleJoinsOnceThatIs) {
  const std::string named = with(naming({0, 1}), store.serial(1) + ";", store.serial(1) + ", new;");
  testing::internal::CaptureStderr();
  configure(named);
  awaitLog("recovery attempt 1 failed for member: new");
  configure(with(named, "   CloningPolicy",
                 "   Module01Path = " P11HA_BINARY_DIR
                 "/lib/p11ha-lying.so;\n   Module01Serial = new;\n   CloningPolicy"));
  awaitLog("succeeded for member: new");
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("nobody shows a token with the serial number \"new\""), std::string::npos) << said;
  EXPECT_EQ(logged("counts from the next C_Initialize"), 0U) << log();
}

}  // namespace
}  // namespace p11ha::tests
