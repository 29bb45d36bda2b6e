// The checker of histories is no checker unless it finds what is wrong: here something is planted in a member's store.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "testbed/history/journal.h"
#include "testbed/history/story.h"
#include "testbed/history/token.h"
#include "tests/support/program.h"
#include "tests/support/softhsm.h"

namespace p11ha::history {
namespace {

using tests::kSoftHsmModule;

// An application has worked on a token, of which there are then three equal stores: what a group of three should hold.
class HistoryChecker : public testing::Test {
 protected:
  HistoryChecker() {
    setenv("P11HA_PIN", store_.pin().c_str(), 1);
    const auto worked =
        tests::runCommandLine("P11HA_MODULE=" + std::string(kSoftHsmModule) + " P11HA_LABEL=" + kToken + " " +
                              kProgram + " app --name A --journal " + journal() + " --operations 80 </dev/null");
    EXPECT_EQ(worked.status, 0) << worked.text;
    for (int member = 1; member <= 3; ++member) {
      const auto home = homeOf(member);
      std::filesystem::create_directory(home);
      std::filesystem::copy(store_.folder() / "tokens", home / "tokens", std::filesystem::copy_options::recursive);
      std::ofstream(home / "softhsm2.conf")
          << "directories.tokendir = " << (home / "tokens").string()
          << "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
    }
    for (const Line& line : JournalReader(journal()).more()) story_.add("A", line);
  }

  // SoftHSM has one store a process.
  void onMember(int member, const std::function<void(const Token&)>& plant) {
    const pid_t child = fork();
    if (child == 0) {
      int status = 1;
      try {
        setenv("SOFTHSM2_CONF", (homeOf(member) / "softhsm2.conf").c_str(), 1);
        const Token token(kSoftHsmModule, kToken, store_.pin());
        plant(token);
        status = testing::Test::HasFailure() ? 1 : 0;
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
      }
      _exit(status);
    }
    int status = 1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
  }

  tests::Ran check() {
    std::string command = std::string(kProgram) + " check --seed 7 --journal " + journal();
    for (int member = 1; member <= 3; ++member) {
      const std::string list = (homeOf(member) / ("member" + std::to_string(member) + ".list")).string();
      const auto listed =
          tests::runCommandLine("SOFTHSM2_CONF=" + (homeOf(member) / "softhsm2.conf").string() + " " + kProgram +
                                " list --module " + kSoftHsmModule + " --token " + kToken + " >" + list);
      EXPECT_EQ(listed.status, 0);
      command += " --list " + list;
    }
    return tests::runCommandLine(command);
  }

  // That line, and as many as that.
  static void expectOnly(const tests::Ran& ran, const std::string& line, std::size_t wrong = 1) {
    EXPECT_EQ(ran.status, 1);
    EXPECT_NE(ran.text.find(line), std::string::npos) << ran.text;
    EXPECT_NE(ran.text.find("wrong: " + std::to_string(wrong) + "\n"), std::string::npos) << ran.text;
  }

  // The first of that class that must be there, or must not.
  ObjectKey any(CK_OBJECT_CLASS objectClass, Presence presence) const {
    for (const auto& [key, object] : story_.objects()) {
      if (key.objectClass == objectClass && story_.presence(object) == presence) return key;
    }
    ADD_FAILURE() << "the history has no such object";
    return {};
  }
  CK_OBJECT_HANDLE find(const Token& token, const ObjectKey& key) const {
    const auto labels = story_.possible(story_.objects().at(key), CKA_LABEL);
    const auto found = token.find({{CKA_CLASS, ofUlong(key.objectClass)}, {CKA_LABEL, labels.at(0)}});
    EXPECT_EQ(found.size(), 1U);
    return found.empty() ? CK_INVALID_HANDLE : found.front();
  }
  static void create(const Token& token, Attributes object) {
    auto list = templateOf(object);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    EXPECT_EQ(token.functions().C_CreateObject(token.session(), list.data(), list.size(), &made), CKR_OK);
  }
  static void copy(const Token& token, CK_OBJECT_HANDLE object) {
    Attributes same{{CKA_TOKEN, ofBool(true)}};
    auto list = templateOf(same);
    CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
    EXPECT_EQ(token.functions().C_CopyObject(token.session(), object, list.data(), list.size(), &made), CKR_OK);
  }
  static Attributes data(const std::string& label) {
    return {{CKA_CLASS, ofUlong(CKO_DATA)},
            {CKA_TOKEN, ofBool(true)},
            {CKA_LABEL, ofText(label)},
            {CKA_VALUE, ofText("planted")}};
  }

  static constexpr char kToken[] = "member1";
  static constexpr char kProgram[] = P11HA_BINARY_DIR "/bin/p11ha-history";

  std::filesystem::path homeOf(int member) const { return store_.folder() / std::to_string(member); }
  std::string journal() const { return (store_.folder() / "A.journal").string(); }

  tests::SoftHsmStore store_{1};
  Story story_;
};

TEST_F(HistoryChecker, FindsNothingWhereNothingIsWrong) {
  const auto ran = check();
  EXPECT_EQ(ran.status, 0);
  EXPECT_TRUE(ran.text.starts_with("history seed 7: 80 operations")) << ran.text;
  EXPECT_NE(ran.text.find(" on 3 members"), std::string::npos) << ran.text;
  EXPECT_NE(ran.text.find("wrong: 0\n"), std::string::npos) << ran.text;
}

TEST_F(HistoryChecker, FindsALostObject) {
  const ObjectKey key = any(CKO_SECRET_KEY, Presence::Must);
  onMember(2, [&](const Token& token) {
    EXPECT_EQ(token.functions().C_DestroyObject(token.session(), find(token, key)), CKR_OK);
  });
  expectOnly(check(), "lost: " + key.name + " (secret key) not on member2\n");
}

TEST_F(HistoryChecker, FindsAnObjectThatNobodyAskedFor) {
  onMember(3, [&](const Token& token) { create(token, data("stranger")); });
  expectOnly(check(), "extra: stranger (data) on member3, which nobody asked for\n");
}

TEST_F(HistoryChecker, FindsAnObjectThatIsThereTwice) {
  const ObjectKey key = any(CKO_CERTIFICATE, Presence::Must);
  onMember(1, [&](const Token& token) { copy(token, find(token, key)); });
  expectOnly(check(), "extra: " + key.name + " (certificate) twice on member1\n");
}

TEST_F(HistoryChecker, FindsAnObjectThatIsThereTwiceOnEveryMember) {
  const ObjectKey key = any(CKO_CERTIFICATE, Presence::Must);
  for (const int member : {1, 2, 3}) {
    onMember(member, [&](const Token& token) { copy(token, find(token, key)); });
  }
  expectOnly(check(), "extra: " + key.name + " (certificate) twice on member3\n", 3);
}

TEST_F(HistoryChecker, FindsAChangedAttributeAndThatTheMembersDiffer) {
  const ObjectKey key = any(CKO_PUBLIC_KEY, Presence::Must);
  onMember(2, [&](const Token& token) {
    Attributes to{{CKA_ID, ofText("planted")}};
    auto list = templateOf(to);
    EXPECT_EQ(token.functions().C_SetAttributeValue(token.session(), find(token, key), list.data(), 1), CKR_OK);
  });
  const auto ran = check();
  expectOnly(ran, "changed: " + key.name + " (public key) CKA_ID on member2 is 706c616e746564 instead of ", 2);
  EXPECT_NE(ran.text.find("differs: " + key.name + " (public key) CKA_ID on member2 is 706c616e746564, on member1 "),
            std::string::npos)
      << ran.text;
}

TEST_F(HistoryChecker, FindsADestroyedObjectThatHasComeBack) {
  const ObjectKey key = any(CKO_DATA, Presence::MustNot);
  onMember(3, [&](const Token& token) { create(token, data(key.name)); });
  expectOnly(check(), "resurrected: " + key.name + " (data) on member3\n");
}

TEST_F(HistoryChecker, FindsAnotherKeyInTheSameShape) {
  const ObjectKey key = any(CKO_SECRET_KEY, Presence::Must);
  onMember(1, [&](const Token& token) {
    const CK_OBJECT_HANDLE there = find(token, key);
    static constexpr CK_ATTRIBUTE_TYPE kTypes[] = {
        CKA_CLASS, CKA_TOKEN,   CKA_PRIVATE, CKA_LABEL, CKA_KEY_TYPE, CKA_ID,     CKA_SENSITIVE, CKA_EXTRACTABLE,
        CKA_WRAP,  CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN,  CKA_VERIFY,   CKA_UNWRAP, CKA_DERIVE};
    Attributes other = token.read(there, kTypes);
    other[CKA_VALUE] = Bytes(32, 7);
    EXPECT_EQ(token.functions().C_DestroyObject(token.session(), there), CKR_OK);
    create(token, other);
  });
  const auto ran = check();
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.text.find("another key: " + key.name + " (secret key) on member1: "), std::string::npos) << ran.text;
}

}  // namespace
}  // namespace p11ha::history
