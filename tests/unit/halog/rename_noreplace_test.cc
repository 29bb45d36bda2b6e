#include "halog/rename_noreplace.h"

#include <gtest/gtest.h>

#include "tests/unit/halog/log_directory.h"

namespace p11ha::halog {
namespace {

struct Way {
  const char* name;
  Renamed (*rename)(const std::string& from, const std::string& to);
  friend std::ostream& operator<<(std::ostream& out, const Way& way) { return out << way.name; }
};

class Rename : public testing::TestWithParam<Way> {
 protected:
  const LogDirectory directory_;
  const std::string from_ = directory_.file("from");
  const std::string to_ = directory_.file("to");
};

TEST_P(Rename, MovesTheFile) {
  std::ofstream(from_) << "record\n";
  EXPECT_EQ(GetParam().rename(from_, to_), Renamed::Done);
  EXPECT_EQ(contents(to_), "record\n");
  EXPECT_EQ(directory_.names(), std::vector<std::string>{"to"});
}

TEST_P(Rename, ReplacesNothing) {
  std::ofstream(from_) << "record\n";
  std::ofstream(to_) << "taken\n";
  EXPECT_EQ(GetParam().rename(from_, to_), Renamed::Taken);
  EXPECT_EQ(contents(from_), "record\n");
  EXPECT_EQ(contents(to_), "taken\n");
}

TEST_P(Rename, LeavesNothingBehindWhereItFails) {
  EXPECT_EQ(GetParam().rename(from_, to_), Renamed::Failed);
  EXPECT_TRUE(directory_.names().empty());
}

INSTANTIATE_TEST_SUITE_P(Both, Rename,
                         testing::Values(Way{"atomically", &renameNoReplace},
                                         Way{"over_placeholder", &renameOverPlaceholder}));

}  // namespace
}  // namespace p11ha::halog
