// A TCP proxy whose connections can be made to fail.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "testbed/fault_proxy/fault.h"

namespace p11ha::testbed {

/// Accepts on one address and connects to another for each connection. Lives on the one thread that runs its context,
/// and as long as that runs.
class FaultProxy {
 public:
  /// Throws boost::system::system_error if it cannot listen there.
  FaultProxy(boost::asio::io_context& context, const boost::asio::ip::tcp::endpoint& listen,
             boost::asio::ip::tcp::endpoint to);

  boost::asio::ip::tcp::endpoint listening() const { return acceptor_.local_endpoint(); }

  /// From now on, or once to all that are open.
  void apply(const Fault& fault);

  /// What lasts for each way, and what passed, on one line.
  std::string show() const;

 private:
  // The ways as indices.
  static constexpr std::size_t kToServer = 0;
  static constexpr std::size_t kToClient = 1;

  struct Armed {
    std::optional<std::uint64_t> reset;  // bytes that still pass
    std::optional<std::uint64_t> corrupt;
  };
  struct Connection {
    explicit Connection(boost::asio::ip::tcp::socket accepted);
    boost::asio::ip::tcp::socket client;
    boost::asio::ip::tcp::socket server;
    bool orphaned = false;  // nobody is behind it
    std::array<Armed, 2> armed;
  };
  using Shared = std::shared_ptr<Connection>;

  boost::asio::awaitable<void> accept();
  boost::asio::awaitable<void> serve(Shared connection);
  boost::asio::awaitable<void> pipe(Shared connection, std::size_t way);
  boost::asio::awaitable<void> swallow(Shared connection);
  boost::asio::awaitable<bool> forward(Connection& connection, std::size_t way, std::uint8_t* bytes, std::size_t size);
  boost::asio::awaitable<void> whileStalled(std::size_t way);
  boost::asio::awaitable<void> pause(std::chrono::milliseconds duration);
  void orphan(Connection& connection);
  void reset(Connection& connection);

  boost::asio::ip::tcp::acceptor acceptor_;
  const boost::asio::ip::tcp::endpoint to_;
  boost::asio::steady_timer changed_;  // never expires; cancelled when `lasting_` changes
  std::array<Fault, 2> lasting_;
  std::set<Shared> open_;
  std::uint64_t accepted_ = 0;
  std::uint64_t resets_ = 0;
  std::uint64_t corrupted_ = 0;
  std::array<std::uint64_t, 2> passed_{};
};

}  // namespace p11ha::testbed
