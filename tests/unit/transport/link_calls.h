// Calls on a link, and what their tests expect of them.
#pragma once

#include <gtest/gtest.h>

#include <future>

#include "tests/unit/transport/link_peer.h"

namespace p11ha::transport {

using cryptoki::Call;
using cryptoki::Fate;
using cryptoki::Fn;
using cryptoki::makeCall;
using tests::LinkPeer;
using namespace std::chrono_literals;

inline base::Monotonic in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

// A call with a number for an argument and a number for an answer.
struct Asked {
  explicit Asked(CK_ULONG which) : call(makeCall<Fn::GetObjectSize>(CK_ULONG{1}, which, &size)) {}
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;
  CK_ULONG size = 0;
  const Call call;
};

inline std::future<LinkAnswer> begin(Link& link, const Call& call, std::chrono::milliseconds time = 10s) {
  return std::async(std::launch::async, [&link, &call, time] { return link.call(call, nullptr, in(time)); });
}

inline CK_ULONG whichOf(const LinkPeer::Received& request) {
  CK_ULONG which = 0;
  std::memcpy(&which, request.payload.data() + sizeof(std::uint16_t) + sizeof(std::uint64_t), sizeof which);
  return which;
}

inline LinkPeer::Fill saying(CK_ULONG number) {
  return [number](const Outputs& outputs) { *static_cast<CK_ULONG*>(outputs[0].data) = number; };
}

inline void expectAnswered(const LinkAnswer& answer, CK_RV rv = CKR_OK) {
  EXPECT_EQ(answer.outcome.fate, Fate::Answered);
  EXPECT_EQ(answer.outcome.rv, rv);
}
inline void expectFate(const LinkAnswer& answer, Fate fate) {
  EXPECT_EQ(answer.outcome.fate, fate);
  EXPECT_EQ(answer.outcome.rv, CKR_DEVICE_ERROR);
}

}  // namespace p11ha::transport
