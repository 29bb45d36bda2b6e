// What a member answers that is not connected.
#include "transport/client/remote_member.h"

#include <gtest/gtest.h>

#include "cryptoki/call_time.h"
#include "transport/client/client.h"

namespace p11ha::transport {
namespace {

using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using cryptoki::SameCall;

// The time of all tries of a call begins with the first, and not with whatever this thread called before.
TEST(RemoteMember, ATryThatNeverLeftBeginsItsCall) {
  const auto client = Client::make({});
  ASSERT_TRUE(client);
  RemoteMember member(**client, "1001", std::nullopt);
  CK_BYTE random = 0;
  const auto call = makeCall<Fn::GenerateRandom>(CK_ULONG{1}, &random, CK_ULONG{1});
  for (int calls = 0; calls < 2; ++calls) {
    EXPECT_EQ(member.execute(call).fate, Fate::NotSent);
    const SameCall others(true);
    EXPECT_FALSE(others.lasts(std::chrono::seconds(10))) << "call " << calls;
  }
}

}  // namespace
}  // namespace p11ha::transport
