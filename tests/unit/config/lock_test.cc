#include "config/lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

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
  EXPECT_EQ(second.error().format(), path + ": expected a configuration file that can be changed: process " +
                                         std::to_string(getpid()) + " holds " + directory.path() +
                                         "/.Chrystoki.conf.lock; wait until it ends, or end it");
  first->reset();
  EXPECT_TRUE(config::lock(path, 0ms));
}

// Who may read the directory and the file may lock both.
TEST(Lock, IsNotHeldByReaders) {
  const TemporaryDirectory directory("lock");
  const std::string path = directory.path() + "/Chrystoki.conf";
  std::ofstream(path) << "text";
  const base::Descriptor reader(open(directory.path().c_str(), O_RDONLY | O_DIRECTORY));
  const base::Descriptor other(open(path.c_str(), O_RDONLY));
  ASSERT_EQ(flock(reader.get(), LOCK_EX), 0);
  ASSERT_EQ(flock(other.get(), LOCK_EX), 0);
  EXPECT_TRUE(config::lock(path, 0ms));
}

TEST(Lock, IsOpenToThoseWhoMayWriteTheDirectory) {
  using enum std::filesystem::perms;
  for (const auto& [ofDirectory, ofLock] :
       {std::pair(owner_all | group_read | group_exec | others_read, owner_read | owner_write),
        std::pair(owner_all | group_all | others_read, owner_read | owner_write | group_read | group_write),
        std::pair(all, owner_read | owner_write | group_read | group_write | others_read | others_write)}) {
    const TemporaryDirectory directory("lock");
    std::filesystem::permissions(directory.path(), ofDirectory);
    ASSERT_TRUE(config::lock(directory.path() + "/Chrystoki.conf", 0ms));
    EXPECT_EQ(std::filesystem::status(directory.path() + "/.Chrystoki.conf.lock").permissions(), ofLock);
  }
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
