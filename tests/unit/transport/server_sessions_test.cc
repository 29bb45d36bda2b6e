#include <gtest/gtest.h>

#include <cstddef>
#include <set>

#include "transport/server/sessions.h"

namespace p11ha::transport {
namespace {

// Only ever compared.
ServedToken& tokenAt(std::max_align_t& place) { return reinterpret_cast<ServedToken&>(place); }

class ServerSessions : public testing::Test {
 protected:
  CK_SESSION_HANDLE add(std::uint64_t connection, CK_SESSION_HANDLE own, bool other = false) {
    EXPECT_TRUE(sessions.reserve());
    return sessions.add(tokenAt(other ? second : first), connection, own);
  }

  std::max_align_t first{};
  std::max_align_t second{};
  Sessions sessions{3};
};

TEST_F(ServerSessions, BelongToTheirConnection) {
  const auto shown = add(1, 50);
  ASSERT_NE(sessions.find(shown, 1), nullptr);
  EXPECT_EQ(sessions.find(shown, 1)->own, 50U);
  EXPECT_EQ(sessions.find(shown, 2), nullptr);
  EXPECT_EQ(sessions.take(shown, 2), nullptr);
  EXPECT_NE(sessions.take(shown, 1), nullptr);
  EXPECT_EQ(sessions.find(shown, 1), nullptr);
  EXPECT_EQ(sessions.count(), 0U);
}

TEST_F(ServerSessions, HandlesNeverRepeat) {
  std::set<CK_SESSION_HANDLE> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto shown = add(1, 50);
    EXPECT_TRUE(seen.insert(shown).second);
    EXPECT_NE(shown, CK_SESSION_HANDLE{CK_INVALID_HANDLE});
    sessions.take(shown, 1);
  }
  // Nor do another worker's, but for the luck of 2^-62.
  Sessions later(3);
  EXPECT_TRUE(later.reserve());
  EXPECT_FALSE(seen.contains(later.add(tokenAt(first), 1, 50)));
}

TEST_F(ServerSessions, AreNoMoreThanThereMayBe) {
  add(1, 50);
  add(1, 51);
  EXPECT_TRUE(sessions.reserve());
  EXPECT_FALSE(sessions.reserve());
  sessions.cancel();
  add(2, 52);
  EXPECT_FALSE(sessions.reserve());
  sessions.setMost(4);
  EXPECT_TRUE(sessions.reserve());
}

TEST_F(ServerSessions, GoWithTheirConnectionOrTheirToken) {
  add(1, 50);
  add(1, 51, true);
  add(2, 52);
  EXPECT_EQ(sessions.countOf(tokenAt(first)), 2U);
  EXPECT_EQ(sessions.takeAllOf(1).size(), 2U);
  EXPECT_EQ(sessions.countOf(tokenAt(second)), 0U);
  EXPECT_EQ(sessions.takeAllOf(tokenAt(first)).size(), 1U);
  EXPECT_EQ(sessions.count(), 0U);
}

}  // namespace
}  // namespace p11ha::transport
