#include "compose/slot_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace p11ha::tests::slot_order {
namespace {

using compose::slotOrder;
using testing::ElementsAre;

config::Group groupOf(std::vector<std::string> members) {
  config::Group group;
  group.members = std::move(members);
  return group;
}

TEST(SlotOrder, IsThatOfModulesThenServers) {
  EXPECT_THAT(slotOrder({"L2", "L1"}, std::set<std::string>{"S1", "L1"}, {groupOf({"S1", "L2"})}),
              ElementsAre("L2", "L1", "S1"));
}

TEST(SlotOrder, KeepsThePlaceOfWhomNoModuleShows) {
  const std::vector<config::Group> groups{groupOf({"A", "B"}), groupOf({"C", "D", "E"})};
  EXPECT_THAT(slotOrder({"A", "B", "X", "C", "D", "E"}, std::nullopt, groups),
              ElementsAre("A", "B", "X", "C", "D", "E"));
  EXPECT_THAT(slotOrder({"B", "X", "E"}, std::nullopt, groups), ElementsAre("A", "B", "X", "C", "D", "E"));
  EXPECT_THAT(slotOrder({"A", "B", "X", "C"}, std::nullopt, groups), ElementsAre("A", "B", "X", "C", "D", "E"));
  EXPECT_THAT(slotOrder({}, std::nullopt, {groupOf({"A", "B"})}), ElementsAre("A", "B"));
}

TEST(SlotOrder, KeepsThePlaceOfWhomNoServerShows) {
  const std::vector<config::Group> groups{groupOf({"L", "S3", "S1"})};
  EXPECT_THAT(slotOrder({"L", "M"}, std::set<std::string>{"S1", "S2", "S3"}, groups),
              ElementsAre("L", "M", "S1", "S2", "S3"));
  EXPECT_THAT(slotOrder({"L", "M"}, std::set<std::string>{"S2"}, groups), ElementsAre("L", "M", "S1", "S2", "S3"));
}

}  // namespace
}  // namespace p11ha::tests::slot_order
