// p11ha-domain, as it is run by hand and by scripts.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/program.h"
#include "tests/support/softhsm.h"

namespace p11ha::tests::cloning {
namespace {

class DomainProgram : public testing::Test {
 protected:
  DomainProgram() : store(2) {
    std::ofstream(configuration()) << "VirtualToken = {\n   VirtualToken00Label = demo;\n   VirtualToken00SN = 1234;\n"
                                   << "   VirtualToken00Members = " << store.serial(0) << ", " << store.serial(1)
                                   << ";\n}\np11ha = {\n   Module00Path = " << kSoftHsmModule << ";\n}\n";
    setenv("P11HA_CONF", configuration().c_str(), 1);
    setenv("P11HA_PIN", store.pin().c_str(), 1);
    setenv("P11HA_SO_PIN", store.soPin().c_str(), 1);
  }

  std::string configuration() const { return (store.folder() / "Chrystoki.conf").string(); }
  static Ran run(const std::string& arguments) {
    return runCommandLine(P11HA_BINARY_DIR "/bin/p11ha-domain -q " + arguments + " 2>&1");
  }
  std::string members(const std::string& what) const {
    return "member " + store.serial(0) + ": " + what + "\nmember " + store.serial(1) + ": " + what + "\n";
  }

  SoftHsmStore store;
};

TEST_F(DomainProgram, JoinsRemovesAndSaysWhatThereIs) {
  EXPECT_EQ(run("join --dryrun").text, members("all keys") + "generation 1 would be made; nothing was\n");
  EXPECT_EQ(run("status").text, members("no domain keys"));
  const Ran joined = run("join");
  EXPECT_EQ(joined.status, 0);
  EXPECT_EQ(joined.text.find(members("all keys") + "generation 1-"), 0U) << joined.text;
  EXPECT_NE(joined.text.find(" is in place\n"), std::string::npos);
  EXPECT_NE(run("join").text.find(" is in place already\n"), std::string::npos);
  EXPECT_NE(run("status").text.find(": sealed and open keys\n"), std::string::npos);
  const Ran removed = run("remove " + store.serial(1));
  EXPECT_EQ(removed.status, 0);
  EXPECT_EQ(removed.text.find("member " + store.serial(0) + ": all keys\ngeneration 2-"), 0U) << removed.text;
  EXPECT_EQ(removed.text.find(store.serial(1)), std::string::npos);
}

TEST_F(DomainProgram, TakesPinsFromDescriptors) {
  unsetenv("P11HA_PIN");
  unsetenv("P11HA_SO_PIN");
  const Ran without = run("join");
  EXPECT_EQ(without.status, 1);
  EXPECT_EQ(without.text,
            members("no domain keys (the user's PIN is not at hand)") + "not done: no member can take part\n");
  const Ran with = runCommandLine("printf '%s\\n%s\\n' " + store.pin() + " " + store.soPin() +
                                  " | " P11HA_BINARY_DIR "/bin/p11ha-domain -q join --pin-fd 0 --so-pin-fd 0 2>&1");
  EXPECT_EQ(with.status, 0) << with.text;
}

TEST_F(DomainProgram, SaysWhatIsWrong) {
  EXPECT_EQ(run("join --group other").text, "p11ha-domain: there is no group \"other\"\n");
  EXPECT_EQ(run("remove nobody").status, 1);
  EXPECT_EQ(run("").status, 2);
  setenv("P11HA_SO_PIN", "not the PIN", 1);
  const Ran refused = run("join");
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.text.find("the Security Officer's C_Login answers CKR_PIN_INCORRECT; no other member was asked"),
            std::string::npos);
  EXPECT_EQ(refused.text.find("not the PIN"), std::string::npos);
}

}  // namespace
}  // namespace p11ha::tests::cloning
