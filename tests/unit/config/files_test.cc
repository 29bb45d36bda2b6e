// Locating, loading and saving.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "config/load.h"
#include "config/locate.h"
#include "config/save.h"
#include "tests/support/temporary_directory.h"
#include "tests/unit/config/nasty.h"

namespace p11ha::config {
namespace {

namespace fs = std::filesystem;

std::string located(std::map<std::string, std::string> variables, std::set<std::string> files) {
  return locate({[&](const char* name) -> std::optional<std::string> {
                   const auto at = variables.find(name);
                   return at == variables.end() ? std::nullopt : std::optional(at->second);
                 },
                 [&](const std::string& path) { return files.contains(path); }});
}

TEST(Locate, FollowsTheVariablesThenEtc) {
  EXPECT_EQ(located({}, {}), "/etc/Chrystoki.conf");
  EXPECT_EQ(located({}, {"/etc/crystoki.ini"}), "/etc/crystoki.ini");
  EXPECT_EQ(located({}, {"/etc/crystoki.ini", "/etc/Chrystoki.conf"}), "/etc/Chrystoki.conf");
  EXPECT_EQ(located({{"ChrystokiConfigurationPath", "/opt/c"}}, {"/etc/Chrystoki.conf"}), "/opt/c/Chrystoki.conf");
  EXPECT_EQ(located({{"ChrystokiConfigurationPath", "/opt/c/"}}, {"/opt/c/crystoki.ini"}), "/opt/c/crystoki.ini");
  EXPECT_EQ(located({{"ChrystokiConfigurationPath", ""}}, {}), "/etc/Chrystoki.conf");
  EXPECT_EQ(located({{"P11HA_CONF", "/x/y"}, {"ChrystokiConfigurationPath", "/opt/c"}}, {"/opt/c/Chrystoki.conf"}),
            "/x/y");
  EXPECT_EQ(located({{"P11HA_CONF", ""}, {"ChrystokiConfigurationPath", "/opt/c"}}, {}), "/opt/c/Chrystoki.conf");
}

TEST(Locate, TheProcessHasAnEnvironment) {
  const Environment environment = Environment::ofProcess();
  EXPECT_EQ(environment.variable("P11HA_NO_SUCH_VARIABLE"), std::nullopt);
  EXPECT_TRUE(environment.variable("PATH").has_value());
  EXPECT_TRUE(environment.exists("/"));
  EXPECT_FALSE(environment.exists("/no/such/file"));
}

class Files : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return (directory_ / name).string(); }
  static void put(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }
  static std::string contentOf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::size_t count() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  const tests::TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

TEST_F(Files, LoadsAFileWhole) {
  for (const auto& text : test::nastyFiles()) {
    put(at("c"), text);
    const auto loaded = load(at("c"));
    ASSERT_TRUE(loaded.ok());
    EXPECT_EQ(loaded->document.text(), text);
    EXPECT_EQ(loaded->document.file(), at("c"));
    EXPECT_EQ(loaded->stamp, base::stampOf(at("c")));
  }
  EXPECT_EQ(load("/dev/null")->document.text(), "");
}

TEST_F(Files, SaysWhyAFileCannotBeLoaded) {
  EXPECT_EQ(load(at("none")).error().format(),
            at("none") + ": expected a readable configuration file: No such file or directory");
  EXPECT_EQ(load(at("")).error().format(), at("") + ": expected a configuration file, found a directory");
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(load(at("pipe")).error().format(), at("pipe") + ": expected a configuration file, found something else");
  EXPECT_EQ(load("/dev/zero", 100000).error().format(),
            "/dev/zero: expected a configuration file of at most 100000 bytes");
  EXPECT_EQ(base::stampOf(at("none")), std::nullopt);
}

TEST_F(Files, TheLimitItselfIsNotTooMuch) {
  put(at("c"), std::string(1000, '\n'));
  EXPECT_TRUE(load(at("c"), 1000).ok());
  EXPECT_FALSE(load(at("c"), 999).ok());
}

TEST_F(Files, SavesANewFile) {
  const auto saved = save(at("c"), "text");
  ASSERT_TRUE(saved.ok());
  EXPECT_TRUE(saved->durable);
  EXPECT_EQ(saved->stamp, base::stampOf(at("c")));
  EXPECT_EQ(contentOf(at("c")), "text");
  struct stat found {};
  ASSERT_EQ(stat(at("c").c_str(), &found), 0);
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(found.st_mode & 07777U, 0644U & ~mask);
}

TEST_F(Files, KeepsModeAndOwner) {
  put(at("c"), "old");
  ASSERT_EQ(chmod(at("c").c_str(), 0640), 0);
  if (geteuid() == 0) {
    ASSERT_EQ(chown(at("c").c_str(), 12345, 54321), 0);
    ASSERT_EQ(chmod(at("c").c_str(), 0640), 0);
  }
  struct stat before {};
  struct stat after {};
  ASSERT_EQ(stat(at("c").c_str(), &before), 0);
  ASSERT_TRUE(save(at("c"), "new").ok());
  ASSERT_EQ(stat(at("c").c_str(), &after), 0);
  EXPECT_EQ(contentOf(at("c")), "new");
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_uid, before.st_uid);
  EXPECT_EQ(after.st_gid, before.st_gid);
  EXPECT_NE(after.st_ino, before.st_ino);
  EXPECT_EQ(count(), 1U);
}

TEST_F(Files, AReaderOfTheOldFileKeepsIt) {
  put(at("c"), "old");
  std::ifstream reader(at("c"));
  ASSERT_TRUE(save(at("c"), "new text").ok());
  std::string text;
  reader >> text;
  EXPECT_EQ(text, "old");
}

TEST_F(Files, FollowsLinksToTheirTarget) {
  fs::create_directory(at("d"));
  put(at("d/real"), "old");
  fs::create_symlink("d/link", at("c"));
  fs::create_symlink("real", at("d/link"));
  ASSERT_TRUE(save(at("c"), "new").ok());
  EXPECT_TRUE(fs::is_symlink(at("c")));
  EXPECT_TRUE(fs::is_symlink(at("d/link")));
  EXPECT_FALSE(fs::is_symlink(at("d/real")));
  EXPECT_EQ(contentOf(at("d/real")), "new");

  fs::create_symlink(at("d/later"), at("dangling"));
  ASSERT_TRUE(save(at("dangling"), "made").ok());
  EXPECT_EQ(contentOf(at("d/later")), "made");

  fs::create_symlink("loop", at("loop"));
  EXPECT_EQ(save(at("loop"), "x").error().text,
            "expected a configuration file that can be written: Too many levels of symbolic links");
}

TEST_F(Files, RefusesWhatIsNoFile) {
  fs::create_directory(at("d"));
  EXPECT_EQ(save(at("d"), "x").error().format(),
            at("d") + ": expected a configuration file that can be written: it is not a regular file");
  EXPECT_EQ(save(at("none/c"), "x").error().text,
            "expected a configuration file that can be written: " + at("none") + ": No such file or directory");
  EXPECT_FALSE(save("", "x").ok());
  EXPECT_EQ(count(), 1U);
}

TEST_F(Files, AFailedWriteLeavesTheOldFileAndNothingElse) {
  put(at("c"), "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto saved = save(at("c"), std::string(100000, 'x'));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  ASSERT_FALSE(saved.ok());
  EXPECT_EQ(saved.error().text, "expected a configuration file that can be written: File too large");
  EXPECT_EQ(contentOf(at("c")), "old");
  EXPECT_EQ(count(), 1U);
}

TEST_F(Files, RefusesToUndoTheChangeOfAnother) {
  put(at("c"), "A = {\nk = 1;\n}\n");
  auto mine = load(at("c"));
  auto theirs = load(at("c"));
  ASSERT_TRUE(theirs->document.set("A", "k", "2").ok());
  ASSERT_TRUE(save(at("c"), theirs->document.text(), theirs->stamp).ok());
  ASSERT_TRUE(mine->document.set("A", "l", "3").ok());
  const auto refused = save(at("c"), mine->document.text(), mine->stamp);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().text,
            "expected a configuration file that can be written: it was changed by another since it was read");
  EXPECT_EQ(contentOf(at("c")), "A = {\nk = 2;\n}\n");
  EXPECT_EQ(count(), 1U);
  fs::remove(at("c"));
  EXPECT_FALSE(save(at("c"), "x", mine->stamp).ok());
}

TEST_F(Files, AChainOfSavesKeepsItsStamps) {
  put(at("c"), "");
  auto loaded = load(at("c"));
  base::FileStamp stamp = loaded->stamp;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(loaded->document.set("HARecovery", "g", std::to_string(i)).ok());
    const auto saved = save(at("c"), loaded->document.text(), stamp);
    ASSERT_TRUE(saved.ok());
    EXPECT_NE(saved->stamp, stamp);
    EXPECT_EQ(saved->stamp, load(at("c"))->stamp);
    stamp = saved->stamp;
  }
  EXPECT_EQ(load(at("c"))->document.get("HARecovery", "g"), "9");
}

}  // namespace
}  // namespace p11ha::config
