#include "cli/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command.h"

namespace p11ha::tests::man_page {
namespace {

using testing::HasSubstr;

TEST(ManPage, HasEveryCommandWithItsOptions) {
  const std::string page = cli::manPage("1");
  for (const cli::Command& command : cli::commands()) {
    const std::size_t at = page.find(".SS " + command.fullName() + "\n");
    ASSERT_NE(at, std::string::npos) << command.fullName();
    const std::string own = page.substr(at, page.find(".SS ", at + 1) - at);
    for (const cli::Option& option : command.options) {
      if (option.name.empty()) continue;
      EXPECT_THAT(own, HasSubstr("\\fB\\-" + std::string(option.name)));
    }
  }
}

TEST(ManPage, SaysWhatItIsOfWhichVersion) {
  EXPECT_THAT(cli::manPage("1.2"), testing::StartsWith(".TH HACM 1 \"\" \"p11ha 1.2\" \"p11ha\"\n.SH NAME\nhacm "));
}

}  // namespace
}  // namespace p11ha::tests::man_page
