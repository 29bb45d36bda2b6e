// What Prometheus reads.
#include "compose/status_metrics.h"

#include <gmock/gmock.h>

#include <sstream>

namespace p11ha::compose {
namespace {

ProcessReport aProcess() {
  MemberReport down;
  down.serial = "5011";
  down.state = "down";
  down.cause = "dropped";
  down.since = Moment(std::chrono::milliseconds(1'772'319'600'007));
  down.attempts = 3;
  down.outstanding = 2;
  down.calls = 1'000'000'000'000;
  down.failovers = 4;
  MemberReport standby;
  standby.serial = "5012";
  standby.state = "standby";
  standby.serves = true;
  return {4242, 1, "nginx", {}, {{"demo", "1000", {}, {down, standby}}}};
}

TEST(StatusMetrics, AreThese) {
  const std::string first = R"({pid="4242",program="nginx",group="demo",member="5011"})";
  const std::string second = R"({pid="4242",program="nginx",group="demo",member="5012"})";
  const std::string text = metrics(aProcess());
  for (const std::string& line :
       {"p11ha_member_up" + first + " 0", "p11ha_member_up" + second + " 1", "p11ha_member_serving" + first + " 0",
        "p11ha_member_serving" + second + " 1", "p11ha_member_state_since_seconds" + first + " 1772319600.007",
        "p11ha_member_recovery_attempts" + first + " 3", "p11ha_member_outstanding_calls" + first + " 2",
        "p11ha_member_calls_total" + first + " 1000000000000", "p11ha_member_failovers_total" + first + " 4"}) {
    EXPECT_THAT(text, testing::HasSubstr("\n" + line + "\n"));
  }
  EXPECT_THAT(text, testing::HasSubstr(R"(,member="5011",state="down",cause="dropped"} 1)"
                                       "\n"));
}

// Each metric's lines stand together, behind its HELP and its TYPE: some readers insist.
TEST(StatusMetrics, AreGrouped) {
  std::istringstream lines(metrics(aProcess()));
  std::vector<std::string> names;
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "#") {
      std::string kind;
      std::string described;
      words >> kind >> described;
      if (kind == "HELP") {
        EXPECT_EQ(std::count(names.begin(), names.end(), described), 0);
        names.push_back(name = described);
      } else {
        EXPECT_EQ(kind, "TYPE");
        EXPECT_EQ(described, name);
      }
    } else {
      EXPECT_EQ(word.substr(0, word.find('{')), name);
    }
  }
  EXPECT_EQ(names.size(), 8U);
}

TEST(StatusMetrics, EscapeTheirLabels) {
  ProcessReport report = aProcess();
  report.program = "a\"b\\c\nd\xff\xc3\xa4";
  EXPECT_THAT(metrics(report), testing::HasSubstr("program=\"a\\\"b\\\\c\\\\x0Ad\\\\xFF\xc3\xa4\""));
}

}  // namespace
}  // namespace p11ha::compose
