#include "cli/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/help.h"

namespace p11ha::tests::cli_parse {
namespace {

using cli::parse;
using cli::split;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Words = std::vector<std::string>;

Words wordsOf(const std::string& line) {
  auto words = split(line);
  EXPECT_TRUE(words) << line;
  return words ? *words : Words();
}

cli::Parsed parsed(const std::string& line) {
  Words words = wordsOf(line);
  const auto result = parse(words);
  EXPECT_TRUE(result) << line << ": " << (result ? "" : result.error().what);
  return result ? *result : cli::Parsed();
}

std::string trouble(const std::string& line) {
  Words words = wordsOf(line);
  const auto result = parse(words);
  EXPECT_FALSE(result) << line;
  return result ? "" : result.error().what;
}

TEST(Split, TakesQuotesOfBothKindsAndLeavesBackslashes) {
  EXPECT_THAT(wordsOf(R"(hagroup  halog	-path "C:\Program Files\halog")"),
              ElementsAre("hagroup", "halog", "-path", R"(C:\Program Files\halog)"));
  EXPECT_THAT(wordsOf(R"(a 'b "c" d' e"f g"h "")"), ElementsAre("a", R"(b "c" d)", "ef gh", ""));
}

TEST(Split, LeavesCommentsOut) {
  EXPECT_THAT(wordsOf("# all of it"), IsEmpty());
  EXPECT_THAT(wordsOf("a # b"), ElementsAre("a"));
  EXPECT_THAT(wordsOf("a#b"), ElementsAre("a#b"));
}

TEST(Split, RefusesAnOpenQuote) {
  EXPECT_FALSE(split("a \"b"));
  EXPECT_FALSE(split("a 'b"));
}

TEST(Parse, KnowsEveryCommandOfTheTableByItsNameAliasAndHelp) {
  for (const cli::Command& command : cli::commands()) {
    EXPECT_EQ(parsed(command.fullName() + " -help").command, &command);
    if (command.alias.empty()) continue;
    EXPECT_EQ(parsed(std::string(command.family) + " " + std::string(command.alias) + " -help").command, &command);
    EXPECT_THAT(cli::overview({}), HasSubstr(command.fullName()));
  }
}

TEST(Parse, TakesNumbersBelowZeroForValues) {
  EXPECT_EQ(parsed("ha rt -c -1").arguments.text("count"), "-1");
  EXPECT_EQ(parsed("HAGROUP Retry --COUNT 3").arguments.text("count"), "3");
}

TEST(Parse, WritesChoicesAsTheTableDoes) {
  EXPECT_EQ(parsed("hagroup recoverymode -mode ACTIVEB").arguments.text("mode"), "activeBasic");
  EXPECT_EQ(trouble("hagroup recoverymode -mode active"), "ambiguous mode \"active\": activeBasic, activeEnhanced");
}

TEST(Parse, ListsWhatCouldHaveBeenMeant) {
  EXPECT_THAT(trouble("hagrop"), HasSubstr("unknown command \"hagrop\"; there are hagroup, "));
  EXPECT_THAT(trouble("ha halog -x"), HasSubstr("unknown option \"-x\"; there are -path, "));
  EXPECT_THAT(trouble("hagroup removeX"), HasSubstr("unknown hagroup command \"removeX\"; there are "));
  EXPECT_THAT(trouble("hagroup recov"), HasSubstr("ambiguous hagroup command \"recov\": recoveryMode, recover"));
  EXPECT_THAT(trouble("hagroup"), HasSubstr("which command of hagroup? There are "));
}

TEST(Parse, SaysWhichOptionIsMissingOrTooMuch) {
  EXPECT_EQ(trouble("hagroup interval"), "option -interval is missing");
  EXPECT_EQ(trouble("hagroup interval -interval"), "option -interval expects its value <seconds>");
  EXPECT_EQ(trouble("hagroup addStandby -group -serialNumber 1"), "option -group expects its value <label>");
  EXPECT_EQ(trouble("hagroup interval -interval 1 -interval 2"), "option -interval is given twice");
  EXPECT_EQ(trouble("hagroup halog -show -enable"), "only one of -enable, -show can be given at a time");
  EXPECT_EQ(trouble("hagroup halog show"), "unexpected \"show\": options begin with a hyphen");
  EXPECT_EQ(trouble(""), "a command is missing");
}

const std::vector<cli::Option> kOptions = {{"password", cli::Value::Pin, "PIN"}, {"group", cli::Value::Group, "label"}};

TEST(Parse, WipesPinsWhereTheyWereTyped) {
  Words words = {"-password", "sesame", "-group", "g"};
  std::span<std::string> rest(words);
  const auto arguments = cli::takeOptions(rest, kOptions, "");
  ASSERT_TRUE(arguments);
  EXPECT_EQ(words[1], "");
  const auto* const pin = arguments->pin("password");
  ASSERT_NE(pin, nullptr);
  EXPECT_EQ(std::string(pin->begin(), pin->end()), "sesame");
  EXPECT_EQ(arguments->text("password"), "");
  EXPECT_EQ(arguments->text("group"), "g");
}

TEST(Parse, ShowsNothingOfAPinWithBlanks) {
  Words words = {"-password", "open", "sesame"};
  std::span<std::string> rest(words);
  const auto arguments = cli::takeOptions(rest, kOptions, "");
  ASSERT_FALSE(arguments);
  EXPECT_EQ(arguments.error().what, "one word is expected behind -password");
  EXPECT_THAT(arguments.error().next, Not(HasSubstr("sesame")));
}

TEST(Parse, TakesNoOptionForAPin) {
  Words words = {"-password", "-group", "g"};
  std::span<std::string> rest(words);
  EXPECT_FALSE(cli::takeOptions(rest, kOptions, ""));
  EXPECT_EQ(words[1], "-group");
}

TEST(Parse, TakesAValueBehindAnEqualsSign) {
  EXPECT_EQ(parsed("ha rt -c=3").arguments.text("count"), "3");
  EXPECT_THAT(trouble("ha listgroups -json=yes"), HasSubstr("-json takes no value"));
  Words words = wordsOf("partition contents -password=12=345678");
  const auto result = parse(words);
  ASSERT_TRUE(result);
  const std::string pin = "12=345678";
  EXPECT_EQ(*result->arguments.pin("password"), base::SecureBytes(pin.begin(), pin.end()));
  for (const std::string& word : words) EXPECT_THAT(word, Not(HasSubstr("345678")));
}

TEST(Parse, ShowsNothingThatMayBeAPin) {
  EXPECT_THAT(trouble("partition contents -passwrd=12345678"), Not(HasSubstr("12345678")));
  EXPECT_THAT(trouble("partition contents 12345678"), Not(HasSubstr("12345678")));
  EXPECT_THAT(trouble("ha rt 12345678"), Not(HasSubstr("12345678")));
  EXPECT_THAT(trouble("12345678"), Not(HasSubstr("12345678")));
  EXPECT_THAT(trouble("hagroup open-sesame2"), Not(HasSubstr("sesame")));
  EXPECT_THAT(trouble("ha rt 123"), HasSubstr("123"));
  EXPECT_THAT(trouble("hagroup addMembr"), HasSubstr("addMembr"));
}

TEST(Parse, TakesHelpWhereACommandIsExpected) {
  for (const char* line : {"hagroup help retry", "hagroup -help retry", "ha ? retry", "ha -h retry"}) {
    EXPECT_EQ(parsed(line).command->name, "help") << line;
    EXPECT_EQ(parsed(line).arguments.text(""), "hagroup retry") << line;
  }
  EXPECT_EQ(parsed("hagroup help").arguments.text(""), "hagroup ");
}

}  // namespace
}  // namespace p11ha::tests::cli_parse
