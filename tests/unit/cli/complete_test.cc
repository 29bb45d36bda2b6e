#include "cli/complete.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace p11ha::tests::cli_complete {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> complete(const std::string& line) {
  return cli::complete(line, [](cli::Value kind) -> std::vector<std::string> {
    if (kind == cli::Value::Group) return {"demo", "my group"};
    if (kind == cli::Value::Serial) return {"1234", "1239"};
    return {};
  });
}

TEST(Complete, OffersCommands) {
  EXPECT_THAT(complete("h"), ElementsAre("hagroup", "help"));
  EXPECT_THAT(complete("HAG"), ElementsAre("hagroup"));
  EXPECT_THAT(complete("ha ret"), ElementsAre("retry"));
  EXPECT_THAT(complete("help hagroup hal"), ElementsAre("halog"));
  EXPECT_THAT(complete(""), Contains("exit"));
}

TEST(Complete, OffersOptionsThatAreNotThereYet) {
  EXPECT_THAT(complete("hagroup interval "), ElementsAre("-interval", "-help"));
  EXPECT_THAT(complete("hagroup interval -in"), ElementsAre("-interval"));
  EXPECT_THAT(complete("hagroup halog -show "), Not(Contains("-show")));
}

TEST(Complete, OffersValues) {
  EXPECT_THAT(complete("ha recover -g "), ElementsAre("demo", "\"my group\""));
  EXPECT_THAT(complete("ha recover -g d"), ElementsAre("demo"));
  EXPECT_THAT(complete("ha addStandby -group demo -se 123"), ElementsAre("1234", "1239"));
  EXPECT_THAT(complete("ha recoverymode -mode activee"), ElementsAre("activeEnhanced"));
}

TEST(Complete, OffersNothingWhereNothingFits) {
  EXPECT_THAT(complete("nothing "), IsEmpty());
  EXPECT_THAT(complete("hagroup halog \"-sh"), IsEmpty());
  EXPECT_THAT(complete("hagroup xyz -"), IsEmpty());
}

}  // namespace
}  // namespace p11ha::tests::cli_complete
