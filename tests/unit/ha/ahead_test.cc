// Results that are made ahead: in their order, no more of them than are allowed, and none that nobody wants any more.
#include "ha/ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <vector>

namespace p11ha::ha {
namespace {

std::optional<int> square(std::size_t index) { return static_cast<int>(index * index); }

TEST(Ahead, GivesEachInItsOrder) {
  Ahead<int> ahead(100, 3, square);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(ahead.take(i), square(i));
}

TEST(Ahead, MakesSoManyAndNoMore) {
  std::atomic<std::size_t> made{0};
  Ahead<int> ahead(100, 3, [&made](std::size_t index) {
    made = index + 1;
    return square(index);
  });
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(ahead.take(i), square(i));
    // Whatever it is up to: the one that was taken, and those after it.
    EXPECT_LE(made, i + 4);
  }
  while (made != 53) std::this_thread::yield();
}

TEST(Ahead, LeavesOutWhatIsNotTaken) {
  Ahead<int> ahead(100, 3, square);
  for (std::size_t i = 7; i < 100; i += 31) EXPECT_EQ(ahead.take(i), square(i));
}

TEST(Ahead, HasNoneWhereNoneWasMade) {
  Ahead<int> ahead(10, 3, [](std::size_t index) -> std::optional<int> {
    if (index == 4) throw std::bad_alloc();
    return index == 2 ? std::nullopt : square(index);
  });
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(ahead.take(i), i == 2 || i == 4 ? std::nullopt : square(i)) << i;
}

TEST(Ahead, EndsWithResultsLeftOver) {
  for (std::size_t taken = 0; taken < 20; ++taken) {
    Ahead<std::vector<int>> ahead(20, 3, [](std::size_t index) { return std::optional(std::vector<int>(index, 1)); });
    for (std::size_t i = 0; i < taken; ++i) EXPECT_EQ(ahead.take(i)->size(), i);
  }
}

}  // namespace
}  // namespace p11ha::ha
