#include "pkcs11/configuration.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/manual_scheduler.h"
#include "tests/support/scripted_member.h"
#include "tests/support/temporary_directory.h"

namespace p11ha::pkcs11 {
namespace {

std::size_t countOf(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

/// One group "demo" of a member "1" that runs by a file. Nothing watches it: it is looked at when a test says so.
class ConfigurationTest : public testing::Test {
 protected:
  ConfigurationTest() {
    write(naming("1"));
    const auto loaded = config::load(file());
    settings = config::read(loaded->document);
    EXPECT_FALSE(settings.hasErrors());
    log.configure(logSettings(settings.ha));
    composition.fleet = std::make_unique<compose::Fleet>(settings, modules, false, composition.complaints);
    token = std::make_unique<ha::VirtualToken>(
        CK_SLOT_ID{0}, ha::Face::Group, compose::policyOf(settings.groups[0], settings, 0),
        std::vector<ha::MemberSpec>{{std::make_shared<tests::ScriptedMember>("1"), false}},
        ha::Ports{clock, scheduler, workers, log, sessions});
    token->start();
    scheduler.run();
    configuration = std::make_unique<Configuration>(file(), loaded->stamp, settings, log, composition, none,
                                                    [this] { ++extended; });
    configuration->manages(settings.groups[0], *token);
  }
  ~ConfigurationTest() override {
    configuration->end();
    token->stop();
    scheduler.run();
  }

  std::string file() const { return (directory / "Chrystoki.conf").string(); }
  std::string naming(const std::string& members, const std::string& more = {}) const {
    return "VirtualToken = {\n   VirtualToken00Label = demo;\n   VirtualToken00SN = 1000;\n   VirtualToken00Members "
           "= " +
           members + ";\n}\nHAConfiguration = {\n   haLogPath = " + directory.string() + ";\n" + more + "}\n";
  }
  void write(const std::string& text) const { std::ofstream(file(), std::ios::binary) << text; }
  /// The file is this, and is looked at; what was said to whoever runs the application.
  std::string see(const std::string& text) {
    write(text);
    return look();
  }
  std::string look() {
    testing::internal::CaptureStderr();
    configuration->refresh();
    scheduler.run();
    return testing::internal::GetCapturedStderr();
  }
  std::string logged() const {
    std::ifstream in(directory / "haErrorLog.txt");
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }

  /// No threads to be had: begin() watches, but nothing is done about it.
  struct NoWorkers final : base::Workers {
    bool run(const base::Task&) override { return false; }
  };

  const tests::TemporaryDirectory temporary;
  const std::filesystem::path directory = temporary.path();
  tests::ManualClock clock;
  tests::ManualScheduler scheduler{clock};
  tests::InlineWorkers workers;
  NoWorkers none;
  halog::FileLog log{clock};
  ha::SessionTable sessions;
  cryptoki::Modules modules;
  config::Settings settings;
  compose::Composition composition;
  std::unique_ptr<ha::VirtualToken> token;
  std::unique_ptr<Configuration> configuration;
  int extended = 0;
};

TEST_F(ConfigurationTest, BeforeItBeginsNothingIsTakenOver) {
  EXPECT_EQ(see(naming("1, 2")), "");
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Removed);
}

TEST_F(ConfigurationTest, AFileThatChangedIsTakenOver) {
  configuration->begin();
  EXPECT_EQ(look(), "");
  const std::string said = see(naming("1, 2"));
  EXPECT_NE(said.find("nobody shows a token with the serial number \"2\""), std::string::npos) << said;
  EXPECT_EQ(countOf(logged(), "detected new member member: 2"), 1U) << logged();
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Down);
  EXPECT_EQ(extended, 0) << "nothing is named that might have it";
  see(naming("1"));
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Removed);
  EXPECT_EQ(see(naming("1, 2")).find("detected"), std::string::npos);
  EXPECT_EQ(countOf(logged(), "detected new member member: 2"), 2U) << logged();
  EXPECT_EQ(extended, 0);
  const std::string module = "p11ha = {\n   Module00Path = /nowhere.so;\n}\n";
  EXPECT_NE(see(naming("1, 2") + module).find("/nowhere.so"), std::string::npos);
  EXPECT_EQ(extended, 1) << "that one might";
  see(naming("1, 2", "   reconnAtt = 3;\n") + module);
  EXPECT_EQ(extended, 1) << "it was asked";
}

TEST_F(ConfigurationTest, AFaultIsReportedOnce) {
  configuration->begin();
  const std::string fault = " has changed and is not taken over: line 8: reconnAtt: ";
  EXPECT_EQ(countOf(see(naming("1, 2", "   reconnAtt = often;\n")), fault), 1U);
  EXPECT_EQ(see(naming("1, 3", "   reconnAtt = often;\n")), "");
  const std::string another = see("# nothing\n");
  EXPECT_NE(another.find("is not taken over: group 1000 is not in it, and runs"), std::string::npos) << another;
  EXPECT_EQ(see(naming("1", "   reconnAtt = often;\n")), "");
  EXPECT_EQ(countOf(logged(), fault), 1U) << logged();
  EXPECT_EQ(countOf(logged(), "default"), 0U) << "what is refused is not made up for";
  EXPECT_EQ(countOf(logged(), "is not taken over: group "), 1U) << logged();
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Removed);
  EXPECT_EQ(see(naming("1")), "");
  EXPECT_EQ(countOf(see(naming("1", "   reconnAtt = often;\n")), fault), 1U) << "mended in between";
}

TEST_F(ConfigurationTest, AFileThatIsHalfWrittenChangesNothingAndIsReportedOnce) {
  configuration->begin();
  see(naming("1, 2"));
  const std::string cut = "VirtualToken = {\n   VirtualToken00Label = demo;\n   VirtualToken00SN = 1000;\n";
  const std::string fault =
      " has changed and is not taken over: line 1: expected \"}\" of section \"VirtualToken\" before the end of the "
      "file";
  EXPECT_EQ(countOf(see(cut + "   VirtualToken00Members = 1"), fault), 1U);
  EXPECT_EQ(see(cut + "   VirtualToken00Members = 1, 2;\n"), "");
  EXPECT_EQ(countOf(logged(), "is not taken over: line 1: expected "), 1U) << logged();
  EXPECT_EQ(countOf(see(""), "is not taken over: group 1000 is not in it, and runs"), 1U);
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Down);
  see(naming("1"));
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Removed);
}

TEST_F(ConfigurationTest, TheLastSectionGoesOnceItWasEmpty) {
  configuration->begin();
  const std::string more = "HARecovery = {\n   demo = 1;\n}\n";
  see(naming("1") + more);
  EXPECT_EQ(countOf(see(naming("1, 2")), "is not taken over: line 8: expected section \"HARecovery\" before the end"),
            1U);
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Removed);
  see(naming("1") + "HARecovery = {\n}\n");
  see(naming("1, 2"));
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Down);
}

/// What a file asks for, as text: by what can be changed in a running application.
std::string askedBy(const config::Settings& settings) {
  std::ostringstream all;
  for (const config::Group& group : settings.groups) {
    all << group.label << ' ' << group.serial << ' ' << group.synchronize << ' ' << group.recoveryCounter;
    for (const std::string& member : group.members) all << ' ' << member << compose::isStandby(group, member);
    all << '\n';
  }
  const config::HaConfiguration& ha = settings.ha;
  all << static_cast<int>(ha.activeRecovery) << ' ' << ha.haOnly << ' ' << ha.reconnectAttempts << ' '
      << ha.autoReconnectInterval.count() << ' ' << ha.failoverOnDeactivation << ' ' << ha.logLength << ' '
      << ha.logPath << ' ' << static_cast<int>(ha.logStatus) << '\n';
  for (const config::Server& server : settings.client.servers) all << server.name << ':' << server.port << '\n';
  for (const config::Module& module : settings.tuning.modules) all << module.path << '\n';
  all << settings.tuning.callDeadline.count() << ' ' << settings.tuning.heartbeatInterval.count() << '\n';
  return all.str();
}

TEST_F(ConfigurationTest, AFileThatIsCutAnywhereIsRefusedOrSaysTheSame) {
  const std::string conf =
      "# both groups\nVirtualToken = {\n   VirtualToken00Label = demo;\n   VirtualToken00SN = 1000;\n"
      "   VirtualToken00Members = 1, 2;\n   VirtualToken01Label = other;\n   VirtualToken01SN = 2000;\n"
      "   VirtualToken01Members = 3, 4; // the second\n}\nMisc = {\n   ToolsDir = /usr/bin;\n}\n"
      "HASynchronize = {\n   demo = 0;\n}\nHAConfiguration = {\n   reconnAtt = 500;\n   AutoReconnectInterval = 120;\n"
      "   HAOnly = 0;\n   haLogPath = " +
      directory.string() + ";\n   demoStandbyMembers = 2;\n}\np11ha = {\n   CallDeadline = 15000;\n" +
      "   HeartbeatInterval = 1000;\n}\n# the end\n";
  std::string ini =
      "[VirtualToken]\r\nVirtualToken00Label=demo\r\nVirtualToken00SN=1000\r\nVirtualToken00Members=1,2\r\n"
      "[HAConfiguration]\r\nreconnAtt=500\r\n";
  configuration->begin();
  for (const std::string& whole : {conf, ini}) {
    see(whole);
    ASSERT_EQ(token->memberState(1).phase, ha::Phase::Down) << logged();
    const std::string asked = askedBy(config::read(config::Document::parse(whole, file())));
    std::size_t taken = 0;
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const config::Settings cut = config::read(config::Document::parse(whole.substr(0, length), file()));
      if (!configuration->faultOf(cut).empty()) continue;
      ++taken;
      EXPECT_EQ(askedBy(cut), asked) << whole.substr(0, length);
    }
    if (whole == conf) {
      EXPECT_EQ(taken, std::string("}\n# the end\n").size() - 1) << "with all its sections";
    }
  }
}

TEST_F(ConfigurationTest, AFileThatIsNotThereIsLookedForAgain) {
  configuration->begin();
  std::filesystem::remove(file());
  EXPECT_EQ(countOf(look(), "is not taken over: "), 1U);
  EXPECT_EQ(look(), "");
  see(naming("1, 2"));
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Down);
}

TEST_F(ConfigurationTest, WhatHasToWaitIsSaidOnceAndAgainWhenItIsAskedForAnew) {
  configuration->begin();
  const std::string pending = "has changed: HAOnly counts from the next C_Initialize";
  see(naming("1", "   HAOnly = 0;\n"));
  see(naming("1", "   HAOnly = 0;\n   reconnAtt = 7;\n"));
  EXPECT_EQ(countOf(logged(), pending), 1U) << logged();
  see(naming("1"));
  see(naming("1", "   HAOnly = 0;\n"));
  EXPECT_EQ(countOf(logged(), pending), 2U) << logged();
}

TEST_F(ConfigurationTest, TheLogGoesWhereTheFileSays) {
  configuration->begin();
  std::filesystem::create_directory(directory / "elsewhere");
  std::string there = naming("1, 2");
  there.replace(there.find("haLogPath = ") + 12, directory.string().size(), (directory / "elsewhere").string());
  const std::string before = logged();
  see(there);
  EXPECT_EQ(logged(), before);
  EXPECT_TRUE(std::filesystem::exists(directory / "elsewhere" / "haErrorLog.txt"));
}

TEST_F(ConfigurationTest, ALogThatIsSwitchedOffStillHasWhatChangedWithIt) {
  configuration->begin();
  see(naming("1, 2", "   haLogStatus = disabled;\n"));
  EXPECT_EQ(countOf(logged(), "detected new member member: 2"), 1U) << logged();
  const std::string before = logged();
  see(naming("1, 3", "   haLogStatus = disabled;\n"));
  EXPECT_EQ(logged(), before);
  see(naming("1, 4", "   haLogStatus = enabled;\n"));
  EXPECT_EQ(countOf(logged(), "detected new member member: 4"), 1U) << logged();
}

TEST_F(ConfigurationTest, ALogThatIsSwitchedOffAndOnAgainStaysOn) {
  configuration->begin();
  write(naming("1, 2", "   haLogStatus = disabled;\n"));
  configuration->refresh();
  write(naming("1, 2, 3"));
  configuration->refresh();
  scheduler.run();
  EXPECT_EQ(countOf(logged(), "detected new member member: 3"), 1U) << logged();
  see(naming("1, 2, 3, 4"));
  EXPECT_EQ(countOf(logged(), "detected new member member: 4"), 1U) << logged();
}

TEST_F(ConfigurationTest, ThePolicyIsTakenOver) {
  configuration->begin();
  see(naming("1", "   reconnAtt = 0;\n"));
  token->recoverNow(0);
  see(naming("1, 2", "   reconnAtt = 0;\n"));
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::GivenUp) << "no attempt but the first";
}

TEST_F(ConfigurationTest, NothingIsTakenOverAtTheEnd) {
  configuration->begin();
  configuration->end();
  EXPECT_EQ(see(naming("1, 2")), "");
  EXPECT_EQ(token->memberState(1).phase, ha::Phase::Removed);
}

}  // namespace
}  // namespace p11ha::pkcs11
