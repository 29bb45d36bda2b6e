#include "testbed/fault_proxy/proxy.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <vector>

namespace p11ha::testbed {

namespace asio = boost::asio;
using asio::awaitable;
using tcp = asio::ip::tcp;

namespace {

using Kind = Fault::Kind;

constexpr auto kAnswer = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kChunk = 64UL << 10;
constexpr std::chrono::milliseconds kThrottleTick{20};
constexpr std::chrono::milliseconds kAcceptAgain{100};

}  // namespace

FaultProxy::Connection::Connection(tcp::socket accepted) : client(std::move(accepted)), server(client.get_executor()) {}

FaultProxy::FaultProxy(asio::io_context& context, const tcp::endpoint& listen, tcp::endpoint to)
    : acceptor_(context, listen), to_(std::move(to)), changed_(context, asio::steady_timer::time_point::max()) {
  asio::co_spawn(context, accept(), asio::detached);
}

awaitable<void> FaultProxy::accept() {
  while (true) {
    auto [error, client] = co_await acceptor_.async_accept(kAnswer);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      co_await pause(kAcceptAgain);  // no descriptors: whoever waits goes on waiting
      continue;
    }
    ++accepted_;
    auto connection = std::make_shared<Connection>(std::move(client));
    open_.insert(connection);
    asio::co_spawn(acceptor_.get_executor(), serve(std::move(connection)), asio::detached);
  }
}

awaitable<void> FaultProxy::serve(Shared connection) {
  boost::system::error_code ignored;
  connection->client.set_option(tcp::no_delay(true), ignored);
  if (lasting_[kToServer].kind == Kind::HalfOpen) {
    connection->orphaned = true;
    co_await swallow(connection);
    co_return;
  }
  const auto [error] = co_await connection->server.async_connect(to_, kAnswer);
  if (connection->orphaned) {
    co_await swallow(connection);
    co_return;
  }
  if (error) {
    reset(*connection);
    open_.erase(connection);
    co_return;
  }
  connection->server.set_option(tcp::no_delay(true), ignored);
  asio::co_spawn(acceptor_.get_executor(), pipe(connection, kToClient), asio::detached);
  co_await pipe(connection, kToServer);
}

awaitable<void> FaultProxy::pipe(Shared connection, std::size_t way) {
  tcp::socket& from = way == kToServer ? connection->client : connection->server;
  tcp::socket& to = way == kToServer ? connection->server : connection->client;
  std::vector<std::uint8_t> bytes(kChunk);
  while (true) {
    co_await whileStalled(way);
    const auto [error, size] = co_await from.async_read_some(asio::buffer(bytes), kAnswer);
    if (connection->orphaned) {
      if (way == kToServer) co_await swallow(connection);
      co_return;
    }
    if (error == asio::error::eof) {
      boost::system::error_code ignored;
      to.shutdown(tcp::socket::shutdown_send, ignored);
      break;
    }
    if (error || !co_await forward(*connection, way, bytes.data(), size)) {
      if (connection->orphaned) continue;
      reset(*connection);
      break;
    }
  }
  open_.erase(connection);  // the other way goes on, out of reach of what happens once
}

awaitable<bool> FaultProxy::forward(Connection& connection, std::size_t way, std::uint8_t* bytes, std::size_t size) {
  tcp::socket& to = way == kToServer ? connection.server : connection.client;
  co_await whileStalled(way);  // what was on its way when it began
  const Fault lasting = lasting_[way];
  if (lasting.kind == Kind::Drop) co_return true;
  if (lasting.kind == Kind::Delay) co_await pause(std::chrono::milliseconds(lasting.amount));

  Armed& armed = connection.armed[way];
  if (armed.corrupt) {
    if (*armed.corrupt < size) {
      bytes[*armed.corrupt] = static_cast<std::uint8_t>(~bytes[*armed.corrupt]);
      armed.corrupt.reset();
      ++corrupted_;
    } else {
      *armed.corrupt -= size;
    }
  }
  const bool last = armed.reset && *armed.reset <= size;
  if (last) size = *armed.reset;
  if (armed.reset) *armed.reset -= std::min<std::uint64_t>(size, *armed.reset);

  while (size != 0) {
    std::size_t piece = size;
    if (lasting_[way].kind == Kind::Throttle) {
      const auto ticks = static_cast<std::uint64_t>(std::chrono::seconds(1) / kThrottleTick);
      piece = std::min<std::size_t>(size, std::max<std::uint64_t>(lasting_[way].amount / ticks, 1));
      const auto due = std::chrono::milliseconds(piece * 1000 / lasting_[way].amount);
      co_await pause(std::max(due, std::chrono::milliseconds(1)));
    }
    const auto [error, written] = co_await asio::async_write(to, asio::buffer(bytes, piece), kAnswer);
    passed_[way] += written;
    if (error) co_return false;
    bytes += piece;
    size -= piece;
  }
  if (last) ++resets_;
  co_return !last;
}

awaitable<void> FaultProxy::swallow(Shared connection) {
  std::vector<std::uint8_t> bytes(kChunk);
  while (true) {
    const auto [error, size] = co_await connection->client.async_read_some(asio::buffer(bytes), kAnswer);
    if (error) break;
  }
  open_.erase(connection);
}

awaitable<void> FaultProxy::whileStalled(std::size_t way) {
  while (lasting_[way].kind == Kind::Stall) co_await changed_.async_wait(kAnswer);
}

awaitable<void> FaultProxy::pause(std::chrono::milliseconds duration) {
  asio::steady_timer timer(acceptor_.get_executor(), duration);
  co_await timer.async_wait(kAnswer);
}

void FaultProxy::orphan(Connection& connection) {
  connection.orphaned = true;
  boost::system::error_code ignored;
  connection.server.close(ignored);
}

// Ends both connections with a RST, so that nothing tells an end from a failure.
void FaultProxy::reset(Connection& connection) {
  boost::system::error_code ignored;
  for (tcp::socket* socket : {&connection.client, &connection.server}) {
    socket->set_option(asio::socket_base::linger(true, 0), ignored);
    socket->close(ignored);
  }
}

void FaultProxy::apply(const Fault& fault) {
  const bool toServer = fault.way != Way::ToClient;
  const bool toClient = fault.way != Way::ToServer;
  if (lasts(fault.kind)) {
    if (toServer) lasting_[kToServer] = fault;
    if (toClient) lasting_[kToClient] = fault;
    for (const Shared& connection : open_) {
      if (fault.kind == Kind::HalfOpen) {
        orphan(*connection);
      } else if (connection->orphaned) {
        reset(*connection);
      }
    }
    changed_.cancel();
    return;
  }
  for (const Shared& connection : open_) {
    if (fault.kind == Kind::Reset && fault.amount == 0) {
      reset(*connection);
      ++resets_;
      continue;
    }
    for (const std::size_t way : {kToServer, kToClient}) {
      if (!(way == kToServer ? toServer : toClient)) continue;
      Armed& armed = connection->armed[way];
      (fault.kind == Kind::Reset ? armed.reset : armed.corrupt) = fault.amount;
    }
  }
}

std::string FaultProxy::show() const {
  const auto text = [this](std::size_t way) {
    Fault fault = lasting_[way];
    fault.way = Way::Both;
    return faultText(fault) + " (" + std::to_string(passed_[way]) + " bytes)";
  };
  return "to-server " + text(kToServer) + ", to-client " + text(kToClient) + ", open " + std::to_string(open_.size()) +
         ", accepted " + std::to_string(accepted_) + ", reset " + std::to_string(resets_) + ", corrupted " +
         std::to_string(corrupted_);
}

}  // namespace p11ha::testbed
