#include "config/lock.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temporary_directory.h"

namespace p11ha::tests::config_lock {
namespace {

using namespace std::chrono_literals;

TEST(Lock, IsHeldUntilItsDescriptorIsClosed) {
  const TemporaryDirectory directory("lock");
  const std::string path = directory.path() + "/Chrystoki.conf";
  auto first = config::lock(path, 0ms);
  ASSERT_TRUE(first) << first.error().format();
  const auto second = config::lock(path, 1ms);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().format(),
            path + ": expected a configuration file that can be changed: another manager is changing it");
  first->reset();
  EXPECT_TRUE(config::lock(path, 0ms));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(Lock, IsThatOfTheFileALinkLeadsTo) {
  const TemporaryDirectory directory("lock");
  const TemporaryDirectory elsewhere("lock");
  const std::string link = elsewhere.path() + "/Chrystoki.conf";
  std::filesystem::create_symlink(directory.path() + "/Chrystoki.conf", link);
  const auto held = config::lock(link, 0ms);
  ASSERT_TRUE(held);
  EXPECT_FALSE(config::lock(directory.path() + "/Chrystoki.conf", 0ms));
  EXPECT_TRUE(config::lock(elsewhere.path() + "/other", 0ms));
}

TEST(Lock, NeedsADirectory) {
  const auto failed = config::lock("/nowhere/Chrystoki.conf", 0ms);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().text,
            "expected a configuration file that can be changed: /nowhere: No such file or directory");
}

}  // namespace
}  // namespace p11ha::tests::config_lock
