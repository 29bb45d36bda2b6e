// hacm on a terminal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/cli/on_terminal.h"
#include "tests/support/program.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests::interactive {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kHacm = P11HA_BINARY_DIR "/bin/hacm";

class Interactive : public testing::Test {
 protected:
  Interactive() {
    std::ofstream(configuration)
        << "p11ha = {\nModule00Path = " << kSoftHsmModule << ";\nStatusPath = " << store.folder()
        << ";\n}\nVirtualToken = {\n"
        << "VirtualToken00Label = demo;\nVirtualToken00SN = 17;\nVirtualToken00Members = 7;\n}\n";
    setenv("P11HA_CONF", configuration.c_str(), 1);
  }

  SoftHsmStore store{2};
  const std::string configuration = (store.folder() / "Chrystoki.conf").string();
};

TEST_F(Interactive, PromptsByItsNameUntilExit) {
  OnTerminal hacm({kHacm});
  hacm.until("hacm:> ");
  hacm.type("ha rt -c 3\n");
  hacm.until("        HA Auto Recovery Count has been set to 3\r\n\r\nCommand Result : No Error\r\n\r\nhacm:> ");
  hacm.type("nonsense\n");
  hacm.until("Command Result : 0x7 (CKR_ARGUMENTS_BAD)\r\n\r\nhacm:> ");
  hacm.type("exit\n");
  EXPECT_EQ(hacm.end(), 1);
}

TEST_F(Interactive, EndsWellWhereTheLastCommandDid) {
  OnTerminal hacm({kHacm});
  hacm.until("hacm:> ");
  hacm.type("nonsense\n");
  hacm.until("hacm:> ");
  hacm.type("ha rt -c 3\n");
  hacm.until("hacm:> ");
  hacm.type("exit\n");
  EXPECT_EQ(hacm.end(), 0);
}

TEST_F(Interactive, DropsTheLineAtAnInterrupt) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("ha rt -c 9");
  hacm.until("9");
  hacm.type("\003");
  hacm.until("hacm:> ");
  hacm.type("ha haonly -show\n");
  hacm.until("(HA Only is enabled)");
  hacm.until("hacm:> ");
  hacm.type("exit\n");
  EXPECT_EQ(hacm.end(), 0);
}

TEST_F(Interactive, EndsTheQuestionForAPinAtAnInterrupt) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("partition contents -se " + store.serial(0) + "\n");
  hacm.until("Enter the password: ");
  hacm.type("12\003");
  hacm.until(
      "Error: interrupted.\r\n        Nothing was changed.\r\n\r\nCommand Result : 0x50 (CKR_FUNCTION_CANCELED)");
  hacm.until("hacm:> ");
  hacm.type("ha haonly -show\n");
  hacm.until("(HA Only is enabled)");
}

TEST_F(Interactive, IsOverWhereAPinIsInterrupted) {
  OnTerminal hacm({kHacm, "partition", "contents", "-se", store.serial(0)});
  hacm.until("Enter the password: ");
  hacm.type("12\003");
  hacm.until("Command Result : 0x50 (CKR_FUNCTION_CANCELED)");
  EXPECT_EQ(hacm.end(), 1);
  EXPECT_TRUE(hacm.echoes());
}

TEST_F(Interactive, AsksForNoOtherGroupsPinAfterAnInterrupt) {
  std::ofstream(configuration, std::ios::app)
      << "VirtualToken = {\nVirtualToken01Label = g;\nVirtualToken01SN = 18;\nVirtualToken01Members = "
      << store.serial(0) << ";\n}\n";
  OnTerminal hacm({kHacm, "ha", "listgroups"});
  hacm.until("Enter the password: ");
  hacm.type("\003");
  EXPECT_THAT(hacm.until("Command Result : 0x50 (CKR_FUNCTION_CANCELED)"), Not(HasSubstr("Enter the password")));
  EXPECT_EQ(hacm.end(), 1);
}

TEST_F(Interactive, EndsTheQuestionWhatBecomesOfObjectsAtAnInterrupt) {
  const std::string file = (store.folder() / "data").string();
  std::ofstream(file) << "data";
  ASSERT_EQ(
      runCommandLine("pkcs11-tool --module " + std::string(kSoftHsmModule) + " --token-label member1 --login --pin " +
                     store.pin() + " --write-object " + file + " --type data --label one 2>&1")
          .status,
      0);
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("hagroup createGroup -se " + store.serial(0) + " -l g -p " + store.pin() + "\n");
  hacm.until("or 'quit' to stop: ");
  hacm.type("\003");
  hacm.until("Command Result : 0x50 (CKR_FUNCTION_CANCELED)");
  hacm.until("hacm:> ");
}

TEST_F(Interactive, LeavesTheTerminalWithItsEcho) {
  OnTerminal hacm({kHacm, "partition", "contents", "-se", store.serial(0)});
  hacm.until("Enter the password: ");
  EXPECT_FALSE(hacm.echoes());
  hacm.kill(SIGTERM);
  EXPECT_EQ(hacm.end(), -1);
  EXPECT_TRUE(hacm.echoes());
}

TEST_F(Interactive, AsksTwiceForANewPin) {
  OnTerminal hacm({kHacm, "partition", "changepw", "-se", store.serial(0), "-oldpw", store.pin(), "-newpw", ""});
  hacm.until("Enter the new password: ");
  hacm.type("1234-new\n");
  hacm.until("Re-enter the new password: ");
  hacm.type("1234-other\n");
  hacm.until("the two are not the same");
  EXPECT_EQ(hacm.end(), 1);
}

TEST_F(Interactive, IsLunacmWhereItIsCalledSo) {
  const std::string link = (store.folder() / "lunacm").string();
  std::filesystem::create_symlink(kHacm, link);
  OnTerminal lunacm({link, "-q"});
  EXPECT_THAT(lunacm.until("lunacm:> "), Not(HasSubstr("exit")));
  lunacm.type("exit\n");
  EXPECT_EQ(lunacm.end(), 0);
}

TEST_F(Interactive, CompletesCommandsOptionsAndLabels) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  // Lines are shown by moving the cursor about: it is what they do that tells.
  hacm.type("hag\trecover -g\td\t\n");
  hacm.until("HA group demo has been told to recover its members.");
  hacm.until("hacm:> ");
}

TEST_F(Interactive, CompletesSerialNumbersOfTokens) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("partition contents -se\t" + store.serial(0).substr(0, 4) + "\t -password \"\"\n");
  // It is asked for where an empty one is given: the token was found.
  hacm.until("Enter the password: ");
  hacm.type(store.pin() + "\n");
  hacm.until("Number of objects: 0");
}

TEST_F(Interactive, RemembersLinesWithoutPins) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("ha haonly -show\n");
  hacm.until("(HA Only is enabled)");
  hacm.until("hacm:> ");
  hacm.type("partition contents -serialNumber 1 -password sesame\n");
  hacm.until("hacm:> ");
  for (const char* line : {"partition contents -password=sesame\n", "partition contents 12345678\n", "12345678\n"}) {
    hacm.type(line);
    hacm.until("Command Result");
    hacm.until("hacm:> ");
  }
  hacm.type("\033[A\n");
  hacm.until("ha haonly -show");
  hacm.until("(HA Only is enabled)");
}

TEST_F(Interactive, AsksForPinsWithoutShowingThem) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("hagroup createGroup -serialNumber " + store.serial(0) + " -label real\n");
  hacm.until("Enter the password: ");
  hacm.type(store.pin() + "\n");
  const std::string answer = hacm.until("Command Result : No Error");
  EXPECT_THAT(answer, HasSubstr("********"));
  EXPECT_THAT(answer, HasSubstr("New group with label \"real\" created"));
  EXPECT_THAT(answer, Not(HasSubstr(store.pin())));
  hacm.until("hacm:> ");
  hacm.type("ha listgroups -group real\n");
  hacm.until("        please enter the password for the group members.\r\n\r\n        Enter the password: ");
  hacm.type("\n");
  hacm.until("Needs sync:  unknown");
}

TEST_F(Interactive, EndsWhatGoesOnByEnterOrInterrupt) {
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("hagroup status -watch\n");
  hacm.until("No running application reports.");
  hacm.type("\n");
  hacm.until("Command Result : No Error");
  hacm.until("hacm:> ");
  hacm.type("hagroup status -watch\n");
  hacm.until("No running application reports.");
  hacm.type("\003");
  hacm.until("Command Result : No Error");
  hacm.until("hacm:> ");
}

TEST_F(Interactive, ShowsHowFarCopyingIs) {
  const std::string file = (store.folder() / "data").string();
  std::ofstream(file) << "data";
  ASSERT_EQ(
      runCommandLine("pkcs11-tool --module " + std::string(kSoftHsmModule) + " --token-label member1 --login --pin " +
                     store.pin() + " --write-object " + file + " --type data --label one 2>&1")
          .status,
      0);
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("hagroup createGroup -se " + store.serial(0) + " -l g -p " + store.pin() + "\n");
  hacm.until("or 'quit' to stop: ");
  hacm.type("copy\n");
  hacm.until("Command Result : No Error");
  hacm.until("hacm:> ");
  hacm.type("hagroup addMember -se " + store.serial(1) + " -g g -p " + store.pin() + "\n");
  hacm.until("[########################################] 1 of 1 objects\r\n");
  hacm.until("Needs sync:  no");
}

// With each key that is copied goes a record of p11ha's own.
TEST_F(Interactive, CountsWhatApplicationsMadeAlone) {
  const std::string make = "pkcs11-tool --module " + std::string(kSoftHsmModule) +
                           " --token-label member1 --login --pin " + store.pin() +
                           " --keygen --key-type AES:32 --sensitive --label ";
  ASSERT_EQ(runCommandLine(make + "kept 2>&1 && " + make + "shared --extractable 2>&1").status, 0);
  std::ofstream(configuration, std::ios::app)
      << "VirtualToken = {\nVirtualToken01Label = g;\nVirtualToken01SN = 18;\nVirtualToken01Members = "
      << store.serial(0) << ", " << store.serial(1) << ";\n}\n";
  OnTerminal hacm({kHacm, "hagroup", "synchronize", "-group", "g", "-password", store.pin()});
  hacm.until("1 of 2 objects\r\n");
  hacm.until("Member " + store.serial(1) + ": 1 object copied");
  EXPECT_EQ(hacm.end(), 0);
}

TEST_F(Interactive, FollowsTheLogAcrossItsFiles) {
  const std::string log = (store.folder() / "haErrorLog.txt").string();
  std::ofstream(log) << "one\n";
  OnTerminal hacm({kHacm, "-q"});
  hacm.until("hacm:> ");
  hacm.type("hagroup halog -path " + store.folder().string() + "\n");
  hacm.until("hacm:> ");
  hacm.type("hagroup halog -tail -f\n");
  hacm.until("one\r\n");
  std::ofstream(log, std::ios::app) << "two\n";
  hacm.until("two\r\n");
  std::filesystem::rename(log, store.folder() / "haErrorLog_20260101_000000.txt");
  std::ofstream(log) << "three\n";
  hacm.until("three\r\n");
  hacm.type("\n");
  hacm.until("Command Result : No Error");
}

}  // namespace
}  // namespace p11ha::tests::interactive
