// The local socket that a fault proxy takes its commands from.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <string>

#include "base/result.h"
#include "testbed/fault_proxy/proxy.h"

namespace p11ha::testbed {

/// One command a connection, one line as its answer: "ok", "ok: ..." or "error: ...". Only for this user. On the
/// proxy's thread; the proxy outlives it.
class FaultControl {
 public:
  /// A socket left behind is replaced. Throws boost::system::system_error if it cannot listen there.
  FaultControl(boost::asio::io_context& context, const std::string& path, FaultProxy& proxy);
  ~FaultControl();
  FaultControl(const FaultControl&) = delete;
  FaultControl& operator=(const FaultControl&) = delete;

 private:
  using Socket = boost::asio::local::stream_protocol::socket;
  boost::asio::awaitable<void> accept();
  boost::asio::awaitable<void> serve(Socket socket);
  std::string answer(const std::string& line);

  const std::string path_;
  FaultProxy& proxy_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
};

/// Gives a command to the proxy that listens there, and waits for its answer; the error says why there is none.
base::Result<std::string, std::string> tellFaultProxy(const std::string& path, const std::string& command);

}  // namespace p11ha::testbed
