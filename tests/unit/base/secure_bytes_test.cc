#include "base/secure_bytes.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <new>
#include <sstream>
#include <string>

namespace {

// Memory that somebody waits to see freed, and whether it was wiped by then.
const void* watched = nullptr;
bool freed = false;
bool wiped = false;

void look(const void* memory, std::size_t size) {
  if (memory == nullptr || memory != watched) return;
  freed = true;
  const auto* bytes = static_cast<const unsigned char*>(memory);
  wiped = std::all_of(bytes, bytes + size, [](unsigned char byte) { return byte == 0; });
  watched = nullptr;
}

void watch(const void* memory) {
  watched = memory;
  freed = wiped = false;
}

}  // namespace

void* operator new(std::size_t size) {
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t size) noexcept {
  look(memory, size);
  std::free(memory);
}

namespace p11ha::base {
namespace {

constexpr std::uint8_t kPin[] = {'s', 'e', 's', 'a', 'm', 'e'};

TEST(Wipe, LeavesZeros) {
  std::uint8_t bytes[] = {1, 2, 3, 4};
  wipe(bytes + 1, 2);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[1], 0);
  EXPECT_EQ(bytes[2], 0);
  EXPECT_EQ(bytes[3], 4);
}

TEST(SecureBytes, AreWipedBeforeTheyAreFreed) {
  {
    const SecureBytes bytes(100, 0xAA);
    watch(bytes.data());
  }
  EXPECT_TRUE(freed);
  EXPECT_TRUE(wiped);
}

TEST(SecureBytes, AreWipedWhereTheyWereBeforeTheyGrew) {
  SecureBytes bytes(100, 0xAA);
  watch(bytes.data());
  bytes.resize(100'000, 0xBB);
  EXPECT_TRUE(freed);
  EXPECT_TRUE(wiped);
  EXPECT_EQ(bytes[99], 0xAA);
}

TEST(SecretPage, KeepsItsBytes) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{6}, std::size_t{4096}, std::size_t{5000}}) {
    const std::vector<std::uint8_t> secret(size, 0x5A);
    const SecretPage page(secret);
    EXPECT_EQ(std::vector<std::uint8_t>(page.bytes().begin(), page.bytes().end()), secret);
  }
}

TEST(SecretPage, IsEmptyInAForkedChild) {
  const SecretPage page(kPin);
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    const auto bytes = page.bytes();
    _exit(std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; }) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(std::equal(page.bytes().begin(), page.bytes().end(), kPin, kPin + sizeof kPin));
}

TEST(SecretPage, IsLeftOutOfCoreDumps) {
  const SecretPage page(kPin);
  std::ostringstream start;
  start << std::hex << reinterpret_cast<std::uintptr_t>(page.bytes().data()) << '-';
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  std::string flags;
  for (std::string line; std::getline(smaps, line);) {
    if (line.find(start.str()) == 0) inside = true;
    if (inside && line.starts_with("VmFlags:")) {
      flags = line + ' ';
      break;
    }
  }
  if (flags.empty()) GTEST_SKIP() << "the kernel tells no VmFlags";
  EXPECT_NE(flags.find(" dd "), std::string::npos) << flags;
  EXPECT_NE(flags.find(" wf "), std::string::npos) << flags;
}

TEST(SecretPage, IsGoneFromMemoryAtTheEnd) {
  const std::uint8_t* where = nullptr;
  {
    const SecretPage page(kPin);
    where = page.bytes().data();
  }
  unsigned char resident = 0;
  void* const start = const_cast<std::uint8_t*>(where);
  EXPECT_EQ(mincore(start, 1, &resident), -1);
  EXPECT_EQ(errno, ENOMEM);
}

}  // namespace
}  // namespace p11ha::base
