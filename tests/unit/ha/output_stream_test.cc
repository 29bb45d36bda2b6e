#include "ha/output_stream.h"

#include <gtest/gtest.h>

#include <string>

namespace p11ha::ha {
namespace {

std::span<const std::uint8_t> bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string queued(const OutputStream& stream) { return {stream.queued().begin(), stream.queued().end()}; }

TEST(OutputStream, IsPlainUntilAnotherMemberTakesOver) {
  OutputStream stream;
  EXPECT_TRUE(stream.plain());
  stream.handOut(bytes("abc"));
  EXPECT_TRUE(stream.plain());
  stream.beginReplay();
  EXPECT_FALSE(stream.plain());
  EXPECT_EQ(stream.owed(), 3U);
}

TEST(OutputStream, WhatWasHandedOutIsKeptBackHoweverItIsCut) {
  for (std::size_t cut = 0; cut <= 5; ++cut) {
    OutputStream stream;
    stream.handOut(bytes("ab"));
    stream.handOut(bytes("cde"));
    stream.beginReplay();
    const std::string again = "abcde";
    EXPECT_TRUE(stream.take(bytes(again.substr(0, cut))));
    EXPECT_TRUE(stream.take(bytes(again.substr(cut))));
    EXPECT_TRUE(stream.plain()) << cut;
  }
}

TEST(OutputStream, ASurplusIsQueued) {
  OutputStream stream;
  stream.handOut(bytes("abc"));
  stream.beginReplay();
  EXPECT_TRUE(stream.take(bytes("abcdef")));
  EXPECT_FALSE(stream.plain());
  EXPECT_EQ(queued(stream), "def");
  stream.handOutQueue();
  EXPECT_TRUE(stream.plain());
  // A second member has to say all of it.
  stream.beginReplay();
  EXPECT_EQ(stream.owed(), 6U);
  EXPECT_TRUE(stream.take(bytes("abcdef")));
  EXPECT_TRUE(stream.plain());
}

TEST(OutputStream, AMemberMayLagBehind) {
  OutputStream stream;
  stream.handOut(bytes("abcdef"));
  stream.beginReplay();
  EXPECT_TRUE(stream.take(bytes("abc")));
  EXPECT_FALSE(stream.plain());
  EXPECT_EQ(stream.owed(), 3U);
  EXPECT_TRUE(stream.take(bytes("defgh")));
  EXPECT_EQ(queued(stream), "gh");
}

TEST(OutputStream, ADifferenceIsSeen) {
  for (std::size_t at = 0; at < 6; ++at) {
    OutputStream stream;
    stream.handOut(bytes("abcdef"));
    stream.beginReplay();
    std::string again = "abcdefgh";
    again[at] = 'X';
    EXPECT_FALSE(stream.take(bytes(again))) << at;
  }
}

TEST(OutputStream, ASecondReplayBeginsAtTheFirstByte) {
  OutputStream stream;
  stream.handOut(bytes("abc"));
  stream.beginReplay();
  EXPECT_TRUE(stream.take(bytes("abcde")));
  stream.beginReplay();
  EXPECT_EQ(queued(stream), "");
  EXPECT_TRUE(stream.take(bytes("abcde")));
  EXPECT_EQ(queued(stream), "de");
}

}  // namespace
}  // namespace p11ha::ha
