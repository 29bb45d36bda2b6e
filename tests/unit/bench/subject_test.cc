#include "bench/subject.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace p11ha::bench {
namespace {

TEST(ParseSubject, TakesModuleTokenPinAndEnvironment) {
  const auto subject =
      parseSubject("group module=/lib/x.so token=demo pin=1=2 server=12 server=13 P11HA_CONF=/etc/a.conf X=");
  ASSERT_TRUE(subject) << subject.error();
  EXPECT_EQ(subject->name, "group");
  EXPECT_EQ(subject->token.module, "/lib/x.so");
  EXPECT_EQ(subject->token.label, "demo");
  EXPECT_EQ(subject->token.pin, "1=2");
  EXPECT_EQ(subject->servers, (std::vector<pid_t>{12, 13}));
  EXPECT_FALSE(parseSubject("group module=m token=t server=x"));
  EXPECT_EQ(subject->environment, (std::map<std::string, std::string>{{"P11HA_CONF", "/etc/a.conf"}, {"X", ""}}));
}

TEST(ParseSubject, TakesThePinOfTheEnvironment) {
  setenv("P11HA_PIN", "4321", 1);
  const auto inherited = parseSubject("a module=m token=t");
  const auto given = parseSubject("a module=m token=t pin=1");
  unsetenv("P11HA_PIN");
  ASSERT_TRUE(inherited && given);
  EXPECT_EQ(inherited->token.pin, "4321");
  EXPECT_EQ(given->token.pin, "1");
}

TEST(ParseSubject, SaysWhatIsWrong) {
  const auto why = [](const std::string& text) {
    const auto subject = parseSubject(text);
    return subject ? "" : subject.error();
  };
  EXPECT_EQ(why(""), "subject \"\": which module?");
  EXPECT_EQ(why("a token=t"), "subject \"a token=t\": which module?");
  EXPECT_EQ(why("a module=m"), "subject \"a module=m\": which token?");
  EXPECT_EQ(why("a module=m token=t size=1"), "subject \"a module=m token=t size=1\": no key \"size\"");
  EXPECT_EQ(why("a m"), "subject \"a m\": \"m\" is no KEY=VALUE");
  EXPECT_EQ(why("a =m"), "subject \"a =m\": \"=m\" is no KEY=VALUE");
}

}  // namespace
}  // namespace p11ha::bench
