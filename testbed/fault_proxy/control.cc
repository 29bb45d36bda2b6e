#include "testbed/fault_proxy/control.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <sstream>

namespace p11ha::testbed {

namespace asio = boost::asio;
using asio::awaitable;
using Local = asio::local::stream_protocol;

namespace {

constexpr auto kOutcome = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kLongestLine = 256;

Local::acceptor listenAt(asio::io_context& context, const std::string& path) {
  struct stat found {};
  if (lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(path.c_str());
  const mode_t before = umask(0077);
  try {
    Local::acceptor acceptor(context, Local::endpoint(path));
    umask(before);
    return acceptor;
  } catch (...) {
    umask(before);
    throw;
  }
}

}  // namespace

FaultControl::FaultControl(asio::io_context& context, const std::string& path, FaultProxy& proxy)
    : path_(path), proxy_(proxy), acceptor_(listenAt(context, path)) {
  asio::co_spawn(context, accept(), asio::detached);
}

FaultControl::~FaultControl() { unlink(path_.c_str()); }

awaitable<void> FaultControl::accept() {
  while (true) {
    auto [error, socket] = co_await acceptor_.async_accept(kOutcome);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {
      asio::steady_timer again(acceptor_.get_executor(), std::chrono::milliseconds(100));
      co_await again.async_wait(kOutcome);
      continue;
    }
    asio::co_spawn(acceptor_.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

awaitable<void> FaultControl::serve(Socket socket) {
  std::string line;
  const auto [error, size] =
      co_await asio::async_read_until(socket, asio::dynamic_buffer(line, kLongestLine), '\n', kOutcome);
  if (error) co_return;
  const std::string said = answer(line.substr(0, size - 1)) + "\n";
  co_await asio::async_write(socket, asio::buffer(said), kOutcome);
}

std::string FaultControl::answer(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  if (words == std::vector<std::string>{"show"}) return "ok: " + proxy_.show();
  const auto fault = parseFault(words);
  if (!fault) return "error: " + fault.error();
  proxy_.apply(*fault);
  return "ok";
}

base::Result<std::string, std::string> tellFaultProxy(const std::string& path, const std::string& command) {
  asio::io_context context;
  Local::socket socket(context);
  boost::system::error_code error;
  socket.connect(Local::endpoint(path), error);
  if (!error) asio::write(socket, asio::buffer(command + "\n"), error);
  std::string answer;
  if (!error) asio::read_until(socket, asio::dynamic_buffer(answer), '\n', error);
  if (error) return base::Failure{path + ": " + error.message()};
  answer.pop_back();
  if (answer.rfind("error: ", 0) == 0) return base::Failure{answer.substr(7)};
  return answer;
}

}  // namespace p11ha::testbed
