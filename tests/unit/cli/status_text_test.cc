#include "cli/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace p11ha::tests::status_text {
namespace {

using compose::ProcessReport;
using testing::HasSubstr;
using testing::StartsWith;

ProcessReport report(std::uint64_t calls, std::int64_t written) {
  ProcessReport process{4711, 9, "signer", compose::Moment(std::chrono::milliseconds(written)), {}};
  compose::MemberReport well;
  well.serial = "154438865287";
  well.state = "active";
  well.serves = true;
  well.calls = calls;
  well.outstanding = 3;
  well.lastError = "CKR_OK";
  compose::MemberReport down = well;
  down.serial = "1238700701509";
  down.state = "down";
  down.cause = "dropped";
  down.lastError = "CKR_DEVICE_ERROR";
  down.failovers = 7;
  process.groups.push_back({"myHA", "1154438865287", std::nullopt, {well, down}});
  return process;
}

class StatusText : public testing::Test {
 protected:
  StatusText() {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

TEST_F(StatusText, IsATable) {
  EXPECT_EQ(
      cli::statusTable({report(1000, 5000)}, {}),
      "        HA group myHA (1154438865287) in process 4711 (signer)\n"
      "Member S/N        State       Since               Outstanding        Calls   Calls/s Failovers  Last Error\n"
      "154438865287      active      1970-01-01 00:00:00           3         1000         -         0\n"
      "1238700701509     down        1970-01-01 00:00:00           3         1000         -         7  "
      "CKR_DEVICE_ERROR, dropped\n");
}

TEST_F(StatusText, TellsTheRateBetweenTwoReportsOfAProcess) {
  const std::vector<ProcessReport> before = {report(1000, 5000)};
  EXPECT_THAT(cli::statusTable({report(1500, 7000)}, {false, &before}), HasSubstr(" 1500       250 "));
  EXPECT_THAT(cli::statusTable({report(1500, 5000)}, {false, &before}), HasSubstr(" 1500         - "));
  std::vector<ProcessReport> another = before;
  another.front().started = 10;
  EXPECT_THAT(cli::statusTable({report(1500, 7000)}, {false, &another}), HasSubstr(" 1500         - "));
}

// Any user may write a report where several share the directory, and a program is called as its user likes.
TEST_F(StatusText, ShowsNoControlCharactersOfOthers) {
  ProcessReport process = report(1, 1);
  process.program = "si\033[2Jgner";
  process.groups.front().label = "my\nHA";
  compose::MemberReport& member = process.groups.front().members.front();
  member.serial = "1\r5";
  member.state = "\033[31m";
  member.problem = "bad\nforged";
  const std::string text = cli::statusTable({process}, {});
  EXPECT_EQ(text.find_first_of("\033\r"), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_EQ(cli::statusJson({process})["processes"][0]["program"], process.program);
}

TEST_F(StatusText, IsColouredByState) {
  const std::string text = cli::statusTable({report(1, 1)}, {true, nullptr});
  EXPECT_THAT(text, HasSubstr("\033[32m154438865287"));
  EXPECT_THAT(text, HasSubstr("\033[31m1238700701509"));
}

TEST_F(StatusText, SaysWhereNobodyReports) {
  EXPECT_EQ(cli::statusTable({}, {}), "        No running application reports.\n");
  EXPECT_TRUE(cli::onlyGroup({report(1, 1)}, "other").empty());
  EXPECT_EQ(cli::onlyGroup({report(1, 1)}, "1154438865287").size(), 1U);
}

TEST_F(StatusText, IsJson) {
  const cli::Json json = cli::statusJson({report(1000, 5000)});
  EXPECT_EQ(json["processes"][0]["pid"], 4711);
  EXPECT_EQ(json["processes"][0]["written"], "1970-01-01T00:00:05Z");
  EXPECT_EQ(json["processes"][0]["groups"][0]["members"][1]["state"], "down");
}

}  // namespace
}  // namespace p11ha::tests::status_text
