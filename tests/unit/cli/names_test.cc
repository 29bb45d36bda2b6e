#include "cli/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace p11ha::tests::cli_names {
namespace {

using cli::meant;
using cli::Name;
using cli::shortest;
using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<Name> kNames = {{"retry", "rt"}, {"recover"}, {"recoveryMode", "rm"}, {"interval"}};

TEST(Names, AreTakenInFullByAliasOrShortened) {
  EXPECT_THAT(meant("retry", kNames), ElementsAre(0));
  EXPECT_THAT(meant("RT", kNames), ElementsAre(0));
  EXPECT_THAT(meant("ret", kNames), ElementsAre(0));
  EXPECT_THAT(meant("i", kNames), ElementsAre(3));
}

TEST(Names, OfWhichOneBeginsAnotherMeanThemselves) {
  EXPECT_THAT(meant("recover", kNames), ElementsAre(1));
  EXPECT_THAT(meant("recovery", kNames), ElementsAre(2));
  EXPECT_THAT(meant("recove", kNames), ElementsAre(1, 2));
}

TEST(Names, ThatAreNoneMeanNothing) {
  EXPECT_THAT(meant("retries", kNames), IsEmpty());
  EXPECT_THAT(meant("", kNames), IsEmpty());
}

TEST(Names, AreShortenedNoFurtherThanTheyMeanOne) {
  EXPECT_EQ(shortest(0, kNames), "ret");
  EXPECT_EQ(shortest(1, kNames), "recover");
  EXPECT_EQ(shortest(2, kNames), "recovery");
  EXPECT_EQ(shortest(3, kNames), "i");
  for (std::size_t i = 0; i < kNames.size(); ++i) EXPECT_THAT(meant(shortest(i, kNames), kNames), ElementsAre(i));
}

}  // namespace
}  // namespace p11ha::tests::cli_names
