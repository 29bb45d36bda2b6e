#include "base/stream_hash.h"

#include <gtest/gtest.h>

#include <vector>

namespace p11ha::base {
namespace {

std::vector<std::uint8_t> bytes(std::size_t count) {
  std::vector<std::uint8_t> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  return all;
}

StreamHash hash(std::span<const std::uint8_t> stream) {
  StreamHash made;
  made.add(stream);
  return made;
}

TEST(StreamHash, HowTheStreamIsCutIsNoMatter) {
  const auto stream = bytes(100);
  const StreamHash whole = hash(stream);
  for (std::size_t first = 0; first <= stream.size(); ++first) {
    StreamHash cut;
    cut.add(std::span(stream).first(first));
    cut.add({});
    cut.add(std::span(stream).subspan(first));
    EXPECT_EQ(cut, whole) << first;
  }
}

TEST(StreamHash, TellsStreamsApart) {
  const auto stream = bytes(64);
  for (std::size_t i = 0; i < stream.size(); ++i) {
    auto other = stream;
    other[i] ^= 1;
    EXPECT_NE(hash(other), hash(stream)) << i;
    EXPECT_NE(hash(std::span(stream).first(i)), hash(stream)) << i;
  }
  const std::vector<std::uint8_t> zeros(40);
  for (std::size_t i = 0; i < zeros.size(); ++i) EXPECT_NE(hash(std::span(zeros).first(i)), hash(zeros)) << i;
}

TEST(StreamHash, BeginsAnew) {
  StreamHash used = hash(bytes(10));
  used.reset();
  EXPECT_EQ(used, StreamHash{});
}

}  // namespace
}  // namespace p11ha::base
