// The memory of the codec: bounded, wiped, used again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "transport/codec/arena.h"
#include "transport/codec/buffer.h"
#include "transport/codec/reader.h"

namespace p11ha::transport {
namespace {

bool allZero(const std::uint8_t* data, std::size_t size) {
  return std::all_of(data, data + size, [](std::uint8_t byte) { return byte == 0; });
}

TEST(Arena, HandsOutZeroedAlignedMemoryWithinItsBound) {
  Arena arena(10'000);
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t size : {0U, 1U, 17U, 3000U, 5000U}) {
      std::uint8_t* const taken = arena.take(size);
      ASSERT_NE(taken, nullptr) << size;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(taken) % Arena::kAlignment, 0U);
      EXPECT_TRUE(allZero(taken, size)) << size;
      std::fill_n(taken, size, std::uint8_t{0xFF});
    }
    EXPECT_EQ(arena.left(), 10'000U - 8018U);
    EXPECT_EQ(arena.take(1983), nullptr);
    EXPECT_EQ(arena.take(SIZE_MAX), nullptr);
    EXPECT_NE(arena.take(1982), nullptr);
    arena.reset();
    EXPECT_EQ(arena.left(), 10'000U);
  }
}

TEST(Buffer, GrowsAndForgets) {
  Buffer buffer;
  for (std::uint32_t i = 0; i < 2000; ++i) buffer.put(i);
  ASSERT_EQ(buffer.size(), 8000U);
  std::uint32_t last = 0;
  std::memcpy(&last, buffer.data() + 7996, sizeof last);
  EXPECT_EQ(last, 1999U);
  buffer.truncate(4);
  EXPECT_EQ(buffer.size(), 4U);
  EXPECT_TRUE(allZero(buffer.data() + 4, 7996));
  Buffer moved(std::move(buffer));
  EXPECT_EQ(moved.size(), 4U);
  moved.clear();
  EXPECT_TRUE(moved.empty());
  EXPECT_THROW(moved.extend(SIZE_MAX), std::bad_alloc);
  EXPECT_TRUE(moved.empty());
}

TEST(Reader, IsAtItsEndOnceItReadBeyond) {
  std::uint8_t bytes[] = {1, 2, 3, 4, 5};
  Reader reader(bytes);
  EXPECT_EQ(reader.get<std::uint16_t>(), 0x0201U);
  EXPECT_EQ(reader.take(0), bytes + 2);
  EXPECT_EQ(reader.get<std::uint32_t>(), 0U);
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.get<std::uint8_t>(), 0U);
  EXPECT_EQ(reader.take(0), nullptr);
  EXPECT_FALSE(reader.finished());
}

}  // namespace
}  // namespace p11ha::transport
