// What the HA log says of why a member is not reached.
#include "tests/appliance/ha_messages_fixture.h"

namespace p11ha::tests {
namespace {

class HaProblem : public HaMessages {};

// Nobody knows yet which server has it: that another one does not is no reason.
TEST_F(HaProblem, IsTheServerThatIsAwayNotTheOneWithoutThePartition) {
  serve();
  configure({0, 1});
  kill(0);
  initialize();
  await("RecoveryFailed", 0);
  start(0);
  await("Recovered", 0);
  finalize();
  EXPECT_NE(log().find(" p11ha: member " + store.serial(0) +
                       " is not reached: server localhost:" + std::to_string(port(0)) + ": Connection refused\n"),
            std::string::npos)
      << log();
  EXPECT_EQ(log().find("there is no partition"), std::string::npos) << log();
}

}  // namespace
}  // namespace p11ha::tests
