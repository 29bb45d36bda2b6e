// hacm, interrupted by ^C in the middle of what takes long: nothing is half-done that the next run does not finish or
// undo.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "testbed/failing_module/command.h"
#include "tests/cli/on_terminal.h"
#include "tests/support/program.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests::interrupt {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kHacm = P11HA_BINARY_DIR "/bin/hacm";
constexpr const char* kNewPin = "1234-new";
constexpr int kObjects = 12;

class Interrupt : public testing::Test {
 protected:
  Interrupt() {
    std::filesystem::create_directory(control);
    setenv("P11HA_FAILING_CONTROL", control.c_str(), 1);
    setenv("P11HA_CONF", configuration.c_str(), 1);
    std::ofstream(configuration) << "p11ha = {\nModule00Path = " P11HA_BINARY_DIR "/lib/p11ha-failing.so;\n}\n";
  }

  void makeGroup() const {
    std::ofstream(configuration, std::ios::app)
        << "VirtualToken = {\nVirtualToken00Label = demo;\nVirtualToken00SN = 17;\nVirtualToken00Members = "
        << store.serial(0) << ", " << store.serial(1) << ";\n}\n";
  }
  void tell(const std::string& command) const {
    const auto result = testbed::runCommand(control, command);
    EXPECT_EQ(result.status, 0) << command << ": " << result.error;
  }
  std::string member(std::size_t index) const { return " serial:" + store.serial(index) + " "; }
  /// Until a call is held; an interrupt is to meet it.
  void awaitHeld(std::size_t index, const std::string& call) const {
    const std::string which = "waiting" + member(index);
    while (testbed::runCommand(control, which).output.find(call) == std::string::npos) std::this_thread::yield();
  }
  static std::string hacm(const std::string& arguments) {
    return runCommandLine(std::string(kHacm) + " " + arguments + " 2>&1 </dev/null").text;
  }
  std::vector<std::string> changePin() const {
    return {kHacm, "partition", "changepw", "-group", "demo", "-oldpw", store.pin(), "-newpw", kNewPin};
  }
  /// Data objects on the first member's token, by somebody who knows of no group.
  void putObjects(int count) const {
    const std::string file = (store.folder() / "data").string();
    std::ofstream(file) << "data";
    const Ran put = runCommandLine("for i in $(seq " + std::to_string(count) + "); do pkcs11-tool --module " +
                                   kSoftHsmModule + " --token-label member1 --login --pin " + store.pin() +
                                   " --write-object " + file + " --type data --label object$i || exit; done 2>&1");
    ASSERT_EQ(put.status, 0) << put.text;
  }

  void isMadeUpFor(const testing::Matcher<std::string>& saying) const {
    EXPECT_THAT(hacm("hagroup listGroups -password " + store.pin()), HasSubstr("Needs sync:  yes"));
    EXPECT_THAT(hacm("hagroup synchronize -group demo -password " + store.pin()),
                testing::AllOf(saying, HasSubstr("Group demo is synchronized.")));
    EXPECT_THAT(hacm("partition contents -group demo -password " + store.pin()), HasSubstr("Number of objects: 12"));
    EXPECT_THAT(hacm("hagroup listGroups -password " + store.pin()), HasSubstr("Needs sync:  no"));
  }

  // While that member's PIN is being changed.
  void interruptAt(std::size_t index, OnTerminal& changing) {
    awaitHeld(index, "C_SetPIN");
    changing.type("\003");
    changing.until("^C");
    tell("heal");
  }

  SoftHsmStore store{2};
  const std::string control = (store.folder() / "control").string();
  const std::string configuration = (store.folder() / "Chrystoki.conf").string();
};

TEST_F(Interrupt, TakesAChangedPinBackOnAllMembers) {
  makeGroup();
  tell("hang" + member(0) + "C_SetPIN");
  OnTerminal changing(changePin());
  interruptAt(0, changing);
  const std::string said = changing.until("Command Result : 0x50 (CKR_FUNCTION_CANCELED)");
  EXPECT_THAT(said, HasSubstr("Error: interrupted.\r\n        All members have the PIN that they had."));
  EXPECT_EQ(changing.end(), 1);
  EXPECT_THAT(hacm("partition contents -group demo -password " + store.pin()), HasSubstr("No Error"));
}

TEST_F(Interrupt, ComesTooLateForTheLastMembersPin) {
  makeGroup();
  tell("hang" + member(1) + "C_SetPIN");
  OnTerminal changing(changePin());
  interruptAt(1, changing);
  changing.until("The password of demo was successfully changed on 2 members.");
  EXPECT_EQ(changing.end(), 0);
  EXPECT_THAT(hacm("partition contents -group demo -password " + std::string(kNewPin)), HasSubstr("No Error"));
}

TEST_F(Interrupt, OfAPinsChangeByDeathIsFinishedByTheNextRun) {
  makeGroup();
  tell("hang" + member(1) + "C_SetPIN");
  {
    const OnTerminal changing(changePin());  // killed at the block's end
    awaitHeld(1, "C_SetPIN");
  }
  tell("heal");
  EXPECT_THAT(hacm("partition contents -group demo -password " + store.pin()), HasSubstr("CKR_PIN_INCORRECT"));
  EXPECT_THAT(hacm("partition changepw -group demo -oldpw " + store.pin() + " -newpw " + kNewPin),
              HasSubstr("The password of demo was successfully changed on 2 members."));
  EXPECT_THAT(hacm("partition contents -group demo -password " + std::string(kNewPin)), HasSubstr("No Error"));
}

TEST_F(Interrupt, OfASynchronizationIsMadeUpForByTheNextRun) {
  makeGroup();
  putObjects(kObjects);
  tell("delay" + member(1) + "C_CreateObject 100");
  OnTerminal copying({kHacm, "hagroup", "synchronize", "-group", "demo", "-password", store.pin()});
  copying.until(" of 12 objects");
  tell("hang" + member(1) + "C_CreateObject");
  awaitHeld(1, "C_CreateObject");
  copying.type("\003");
  copying.until("interrupted: it ends after the object that it is at; another ^C ends it at once");
  tell("heal");
  copying.until("the next `hagroup synchronize` does the rest.\r\n\r\nCommand Result : 0x50 (CKR_FUNCTION_CANCELED)");
  EXPECT_EQ(copying.end(), 1);
  isMadeUpFor(Not(HasSubstr("waiting for")));
}

TEST_F(Interrupt, OfASynchronizationEndsTheCommandAndNotTheManager) {
  makeGroup();
  putObjects(kObjects);
  tell("delay" + member(1) + "C_CreateObject 100");
  OnTerminal manager({kHacm, "-q"});
  manager.until("hacm:> ");
  manager.type("hagroup synchronize -group demo -password " + store.pin() + "\n");
  manager.until(" of 12 objects");
  manager.type("\003");
  manager.until("Command Result : 0x50 (CKR_FUNCTION_CANCELED)");
  manager.until("hacm:> ");
  tell("heal");
  manager.type("hagroup synchronize -group demo -password " + store.pin() + "\n");
  manager.until("Group demo is synchronized.");
}

TEST_F(Interrupt, OfASynchronizationTwiceIsMadeUpForByTheNextRun) {
  makeGroup();
  putObjects(kObjects);
  tell("delay" + member(1) + "C_CreateObject 100");
  OnTerminal copying({kHacm, "hagroup", "synchronize", "-group", "demo", "-password", store.pin()});
  copying.until(" of 12 objects");
  tell("hang" + member(1) + "C_CreateObject");
  awaitHeld(1, "C_CreateObject");
  copying.type("\003");
  copying.until("another ^C ends it at once");
  copying.type("\003");
  EXPECT_EQ(copying.end(), -1) << "ended by the signal";
  tell("heal");
  isMadeUpFor(HasSubstr("waiting for another process to end its resync on member "));
}

TEST_F(Interrupt, OfAJoiningMemberLeavesItInTheGroup) {
  makeGroup();
  putObjects(kObjects);
  hacm("hagroup removeMember -group demo -serialNumber " + store.serial(1));
  tell("delay" + member(1) + "C_CreateObject 100");
  OnTerminal joining({kHacm, "hagroup", "addMember", "-group", "demo", "-se", store.serial(1), "-p", store.pin()});
  joining.until(" of 12 objects");
  joining.type("\003");
  joining.until("Member " + store.serial(1) + " successfully added to group demo.");
  joining.until("the next `hagroup synchronize` does the rest.\r\n\r\nCommand Result : 0x50 (CKR_FUNCTION_CANCELED)");
  EXPECT_EQ(joining.end(), 1);
  tell("heal");
  isMadeUpFor(testing::_);
}

TEST_F(Interrupt, OfANewGroupsDomainIsMadeUpForByTheNextRun) {
  const std::vector<std::string> words = {"hagroup", "createGroup", "-serialNumber", store.serial(0), "-label",
                                          "demo",    "-password",   store.pin(),     "-sopassword",   store.soPin()};
  std::vector<std::string> argv = {kHacm};
  argv.insert(argv.end(), words.begin(), words.end());
  tell("delay" + member(0) + "C_UnwrapKey 50");
  OnTerminal making(argv);
  making.until("storing the open keys");
  tell("hang" + member(0) + "C_UnwrapKey");
  awaitHeld(0, "C_UnwrapKey");
  making.type("\003");
  EXPECT_EQ(making.end(), -1) << "ended by the signal";
  tell("heal");
  EXPECT_THAT(hacm("hagroup recover -group demo"), HasSubstr("there is no group \"demo\""));
  std::string line;
  for (const std::string& word : words) line += word + " ";
  const std::string made = hacm(line);
  EXPECT_THAT(made, HasSubstr(" is in place\n"));
  EXPECT_THAT(made, HasSubstr("New group with label \"demo\" created"));
  EXPECT_THAT(hacm("hagroup doctor -password " + store.pin()),
              HasSubstr("all members that are there share a cloning domain"));
}

}  // namespace
}  // namespace p11ha::tests::interrupt
