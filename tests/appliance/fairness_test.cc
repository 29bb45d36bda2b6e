// Clients that show nobody who they are, as many of them as there may be: those of other hosts are served all the same.
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "tests/appliance/appliance.h"

namespace p11ha::tests {

using namespace transport;

namespace {

constexpr char kElsewhere[] = "127.0.0.2";

class FairnessTest : public ApplianceTest {
 protected:
  void SetUp() override {
    // Each of the others holds a descriptor of the test's, too.
    const rlimit most{4096, 4096};
    setrlimit(RLIMIT_NOFILE, &most);
    auto context = makeTlsContext(TlsSide::Client, clientFiles("alice"));
    ASSERT_TRUE(context) << context.error();
    context_ = std::move(*context);
  }

  /// The first bytes of a handshake, as an application of its own.
  std::vector<std::uint8_t> hello(std::uint32_t application) const {
    Destination to{{7}, store.serial(0)};
    std::memcpy(to.application.data() + 1, &application, sizeof application);
    auto channel = TlsChannel::client(*context_, "localhost", alpnOf(to));
    channel.handshake();
    const Buffer& bytes = channel.outgoing();
    return {bytes.data(), bytes.data() + bytes.size()};
  }
  base::Descriptor begin(std::uint32_t application, const char* from = kElsewhere) const {
    base::Descriptor fresh = connectTo(port, from);
    const auto bytes = hello(application);
    send(fresh.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return fresh;
  }

  TlsContext context_;
};

TEST_F(FairnessTest, HandshakesOfOneHostPutNobodyElseOut) {
  start({.limits = "   HandshakeTime = 10000;\n"});
  const auto bob = client("bob");
  ASSERT_TRUE(bob->shakeHands());
  std::vector<base::Descriptor> bad;
  for (std::uint32_t i = 0; i < 200; ++i) bad.push_back(begin(i));
  ASSERT_TRUE(awaitLog("too many applications that have not shown who they are", 2));
  const auto alice = greeted("alice");
  ASSERT_TRUE(alice);
  EXPECT_EQ(random(*alice, open(*alice)), CKR_OK);
  EXPECT_TRUE(bob->greet()) << bob->error();
}

TEST_F(FairnessTest, ConnectionsOfOneHostPutNobodyElseOut) {
  start({.limits = "   HandshakeTime = 20000;\n   MaxUnfinishedHandshakes = 16;\n"});
  const auto bob = client("bob");
  std::vector<base::Descriptor> bad;
  for (int i = 0; i < 100; ++i) bad.push_back(connectTo(port, kElsewhere));
  ASSERT_TRUE(awaitLog("too many connections without a handshake", 84));
  EXPECT_TRUE(bob->greet()) << bob->error();
}

TEST_F(FairnessTest, AFloodOfHandshakesLeavesRoomForOthers) {
  start();
  std::atomic<bool> enough{false};
  std::atomic<std::uint32_t> begun{0};
  std::thread flood([&] {
    std::vector<base::Descriptor> bad(300);
    while (!enough) {
      const std::uint32_t next = begun.load();
      bad[next % bad.size()] = begin(next);
      ++begun;
    }
  });
  EXPECT_TRUE(await([&] { return begun > 600; }, "the flood"));
  for (int i = 0; i < 5; ++i) {
    const auto alice = greeted("alice");
    EXPECT_TRUE(alice && random(*alice, open(*alice)) == CKR_OK) << i;
  }
  enough = true;
  flood.join();
}

// Each process costs far more than the hello that asks for it.
TEST_F(FairnessTest, AHostGetsNoMoreProcessesThanItsShareUntilTheyHaveHadTheirTime) {
  start({.limits = "   HandshakeTime = 5000;\n"});
  std::vector<base::Descriptor> bad;
  for (std::uint32_t i = 0; i < 100; ++i) bad.push_back(begin(i));
  ASSERT_TRUE(awaitLog("for application 07", 17));
  const std::string text = log();
  std::size_t at = 0;
  for (int i = 0; i < 17; ++i) at = text.find("for application 07", at + 1);
  EXPECT_LT(text.find("and this is the oldest"), at) << "the 17th takes the place of the first";
}

TEST_F(FairnessTest, NoProcessIsBegunForWhoHasGone) {
  start();
  // It sees both at once.
  tell(SIGSTOP);
  std::vector<base::Descriptor> bad;
  for (std::uint32_t i = 0; i < 20; ++i) {
    bad.push_back(begin(i));
    shutdown(bad.back().get(), SHUT_WR);
  }
  tell(SIGCONT);
  EXPECT_TRUE(awaitLog("refused: it ended before a handshake", 20));
  EXPECT_EQ(logged("for application"), 0U);
}

TEST_F(FairnessTest, ManyApplicationsOfAHostAtOnceAreAllServed) {
  // On a busy machine, too.
  start({.limits = "   HandshakeTime = 20000;\n"});
  std::atomic<int> served{0};
  std::vector<std::unique_ptr<RawClient>> all;
  for (int i = 0; i < 100; ++i) all.push_back(client("alice"));
  std::vector<std::thread> threads;
  threads.reserve(all.size());
  for (const auto& each : all) {
    threads.emplace_back([&served, one = each.get()] {
      if (one->greet() && random(*one, open(*one)) == CKR_OK) ++served;
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(served, 100);
}

}  // namespace
}  // namespace p11ha::tests
