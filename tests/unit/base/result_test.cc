#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace p11ha::base {
namespace {

TEST(Result, HoldsAValue) {
  Result<std::string, int> result = std::string("here");
  EXPECT_TRUE(result.ok());
  EXPECT_TRUE(static_cast<bool>(result));
  EXPECT_EQ(result.value(), "here");
  EXPECT_EQ(*result, "here");
  EXPECT_EQ(result->size(), 4U);
  result->push_back('!');
  EXPECT_EQ(std::as_const(result).value(), "here!");
}

TEST(Result, HoldsTheReasonWhyThereIsNone) {
  const Result<std::string, int> result = Failure{7};
  EXPECT_FALSE(result.ok());
  EXPECT_FALSE(static_cast<bool>(result));
  EXPECT_EQ(result.error(), 7);
}

TEST(Result, TellsValueAndReasonApartWhereTheirTypesAreOne) {
  const Result<int, int> value = 3;
  const Result<int, int> failure = Failure{3};
  EXPECT_TRUE(value.ok());
  EXPECT_FALSE(failure.ok());
  EXPECT_EQ(*value, failure.error());
}

TEST(Result, GivesAwayWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>, int> result = std::make_unique<int>(5);
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 5);
}

}  // namespace
}  // namespace p11ha::base
