// A fault proxy between a client and a server that sends back what it gets.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <thread>

#include "testbed/fault_proxy/control.h"
#include "testbed/fault_proxy/proxy.h"

namespace p11ha::testbed {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

const tcp::endpoint kAnywhere(asio::ip::address_v4::loopback(), 0);

/// Each connection gets back what it sends, until its end.
class Echo {
 public:
  Echo() : acceptor_(context_, kAnywhere), thread_([this] { serve(); }) {}
  ~Echo() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
  }
  tcp::endpoint where() const { return acceptor_.local_endpoint(); }

 private:
  void serve() {
    std::vector<std::thread> threads;
    while (true) {
      const int socket = ::accept(acceptor_.native_handle(), nullptr, nullptr);
      if (socket < 0) break;
      threads.emplace_back([socket] {
        std::array<char, 4096> bytes{};
        for (ssize_t size = 0; (size = ::recv(socket, bytes.data(), bytes.size(), 0)) > 0;) {
          if (::send(socket, bytes.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) < 0) break;
        }
        ::close(socket);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  asio::io_context context_;
  tcp::acceptor acceptor_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(const tcp::endpoint& to) : socket_(context_) { socket_.connect(to); }

  void send(const std::string& text) {
    ASSERT_EQ(::send(socket_.native_handle(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  /// What comes until there are so many bytes, or nothing more comes for so long; `error()` is then that of the end.
  std::string receive(std::size_t size, std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    std::string text;
    error_ = 0;
    while (text.size() < size) {
      pollfd wanted{socket_.native_handle(), POLLIN, 0};
      if (::poll(&wanted, 1, static_cast<int>(patience.count())) == 0) break;
      std::array<char, 4096> bytes{};
      const ssize_t got = ::recv(socket_.native_handle(), bytes.data(), std::min(size - text.size(), bytes.size()), 0);
      if (got <= 0) {
        error_ = got == 0 ? -1 : errno;
        break;
      }
      text.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return text;
  }
  /// -1: the other side closed; else errno, or 0.
  int error() const { return error_; }
  void finishSending() { socket_.shutdown(tcp::socket::shutdown_send); }

 private:
  asio::io_context context_;
  tcp::socket socket_;
  int error_ = 0;
};

class FaultProxyTest : public testing::Test {
 protected:
  static constexpr std::chrono::milliseconds kSilence{60};

  FaultProxyTest()
      : folder_(std::filesystem::temp_directory_path() / ("fault-proxy-" + std::to_string(::getpid()))),
        made_(std::filesystem::create_directory(folder_)),
        proxy_(context_, kAnywhere, echo_.where()),
        control_(context_, path(), proxy_),
        where_(proxy_.listening()),
        thread_([this] { context_.run(); }) {}
  ~FaultProxyTest() override {
    context_.stop();
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  std::string path() const { return (folder_ / "control").string(); }
  std::string tell(const std::string& command) {
    const auto answer = tellFaultProxy(path(), command);
    return answer ? *answer : "error: " + answer.error();
  }
  /// A connection that is through to the server.
  void expectEcho(Client& client, const std::string& text) {
    client.send(text);
    EXPECT_EQ(client.receive(text.size()), text);
  }

  Echo echo_;
  const std::filesystem::path folder_;
  const bool made_;
  asio::io_context context_;
  FaultProxy proxy_;
  FaultControl control_;
  const tcp::endpoint where_;
  std::thread thread_;
};

TEST_F(FaultProxyTest, PassesEverythingAndTheEnd) {
  Client client(where_);
  const std::string text(1 << 20, 'x');
  std::thread sender([&] { client.send(text); });
  EXPECT_EQ(client.receive(text.size()), text);
  sender.join();
  client.finishSending();
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(client.error(), -1);
  EXPECT_NE(tell("show").find("to-server pass (1048576 bytes), to-client pass (1048576 bytes)"), std::string::npos)
      << tell("show");
}

TEST_F(FaultProxyTest, Drops) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("drop to-client"), "ok");
  client.send("gone");
  EXPECT_EQ(client.receive(1, kSilence), "");
  EXPECT_EQ(client.error(), 0) << "the connection stays";
  EXPECT_EQ(tell("pass"), "ok");
  expectEcho(client, "after");
}

TEST_F(FaultProxyTest, Delays) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("delay 80"), "ok");
  const Clock::time_point begun = Clock::now();
  expectEcho(client, "late");
  EXPECT_GE(Clock::now() - begun, std::chrono::milliseconds(160)) << "there and back";
}

TEST_F(FaultProxyTest, StallsAndGoesOn) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("stall"), "ok");
  client.send("kept");
  EXPECT_EQ(client.receive(1, kSilence), "");
  Client another(where_);
  another.send("kept too");
  EXPECT_EQ(another.receive(1, kSilence), "");
  EXPECT_EQ(tell("pass"), "ok");
  EXPECT_EQ(client.receive(4), "kept");
  EXPECT_EQ(another.receive(8), "kept too");
}

TEST_F(FaultProxyTest, Throttles) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("throttle 20000 to-client"), "ok");
  const Clock::time_point begun = Clock::now();
  expectEcho(client, std::string(4000, 'x'));
  EXPECT_GE(Clock::now() - begun, std::chrono::milliseconds(150));
}

TEST_F(FaultProxyTest, ResetsInTheMiddle) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("reset 3 to-client"), "ok");
  client.send("0123456789");
  const std::string got = client.receive(10);
  EXPECT_TRUE(got == "012" || got.empty()) << "a reset may overtake what was sent: " << got;
  EXPECT_EQ(client.error(), ECONNRESET);
  Client next(where_);
  expectEcho(next, "a later connection is left alone");
  EXPECT_EQ(tell("reset 0"), "ok");
  EXPECT_EQ(next.receive(1), "");
  EXPECT_EQ(next.error(), ECONNRESET);
  EXPECT_NE(tell("show").find("reset 2"), std::string::npos) << tell("show");
}

TEST_F(FaultProxyTest, CorruptsOneByte) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("corrupt 2 to-server"), "ok");
  client.send("aaaa");
  EXPECT_EQ(client.receive(4), std::string("aa") + static_cast<char>(~'a') + "a");
  expectEcho(client, "once only");
}

TEST_F(FaultProxyTest, LeavesConnectionsHalfOpen) {
  Client client(where_);
  expectEcho(client, "before");
  EXPECT_EQ(tell("half-open"), "ok");
  Client another(where_);
  client.send("to nobody");
  another.send("to nobody");
  EXPECT_EQ(client.receive(1, kSilence), "");
  EXPECT_EQ(client.error(), 0);
  EXPECT_EQ(another.receive(1, kSilence), "");
  EXPECT_EQ(another.error(), 0);
  EXPECT_EQ(tell("pass"), "ok");
  EXPECT_EQ(client.receive(1), "");
  EXPECT_EQ(client.error(), ECONNRESET);
  Client next(where_);
  expectEcho(next, "after");
}

TEST_F(FaultProxyTest, SaysWhatIsWrongWithACommand) {
  EXPECT_EQ(tell(""), "error: which fault?");
  EXPECT_EQ(tell("explode"), "error: \"explode\" is no fault");
  EXPECT_EQ(tell("delay"), "error: \"delay\" wants a number");
  EXPECT_EQ(tell("delay soon"), "error: \"soon\" is no number");
  EXPECT_EQ(tell("stall 5"), "error: \"5\" is too much");
  EXPECT_EQ(tell("throttle 0"), "error: to throttle to nothing is to stall");
  EXPECT_EQ(tellFaultProxy(path() + "x", "show").error(), path() + "x: No such file or directory");
}

TEST(Fault, ReadsWhatItWrites) {
  for (const std::string text : {"pass", "drop to-client", "delay 20 to-server", "stall", "throttle 1000", "half-open",
                                 "reset 7", "corrupt 9 to-client"}) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(' ', at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    const auto fault = parseFault(words);
    ASSERT_TRUE(fault.ok()) << fault.error();
    EXPECT_EQ(faultText(*fault), text);
  }
}

}  // namespace
}  // namespace p11ha::testbed
