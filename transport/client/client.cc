#include "transport/client/client.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace p11ha::transport {
namespace {

using base::now;

std::string ownName() { return std::string(program_invocation_short_name) + "[" + std::to_string(getpid()) + "]"; }

}  // namespace

base::Result<std::unique_ptr<Client>, std::string> Client::make(ClientSettings settings) {
  if (const auto problem = problemOfKeyFile(settings.tls.privateKey)) return base::Failure{*problem};
  auto context = makeTlsContext(TlsSide::Client, settings.tls);
  if (!context) return base::Failure{context.error()};
  ApplicationId application{};
  if (getrandom(application.data(), application.size(), 0) != static_cast<ssize_t>(application.size()))
    return base::Failure{std::string("no random numbers: ") + std::system_category().message(errno)};
  try {
    return std::unique_ptr<Client>(new Client(std::move(settings), std::move(*context), application));
  } catch (const std::system_error& error) {
    return base::Failure{std::string("no thread for remote members: ") + error.what()};
  }
}

Client::Client(ClientSettings settings, TlsContext context, const ApplicationId& application)
    : settings_(std::move(settings)),
      context_(std::move(context)),
      application_(application),
      name_(ownName()),
      keeper_([this] { keep(); }) {}

Client::~Client() {
  {
    base::Lock lock(mutex_);
    isEnding_ = true;
    ending_.notifyAll();
  }
  keeper_.join();
}

std::vector<Client::Listing> Client::list() {
  std::vector<Listing> listings(settings_.servers.size());
  const base::Monotonic until = now() + settings_.connectTimeout;
  const auto ask = [&](std::size_t server) {
    Listing& listing = listings[server];
    listing.server = server;
    try {
      auto dialled = dialTo(server, {}, until);
      if (dialled) {
        listing.partitions = std::move(dialled->greeting.partitions);
      } else {
        listing.problem = dialled.error().text;
      }
    } catch (const std::bad_alloc&) {
      listing.problem = "server " + settings_.servers[server].text() + ": no memory left to ask it";
    }
  };
  std::vector<std::thread> asking;
  for (std::size_t server = 0; server < listings.size(); ++server) {
    try {
      asking.emplace_back(ask, server);
    } catch (const std::system_error&) {
      ask(server);
    }
  }
  for (std::thread& thread : asking) thread.join();
  return listings;
}

base::Result<Dialled, DialError> Client::dialTo(std::size_t server, const std::string& serial, base::Monotonic until) {
  return dial(settings_.servers[server], *context_, {application_, serial}, name_, {until, &ended_});
}

void Client::tend(const std::shared_ptr<Attachment>& attachment) {
  base::Lock lock(mutex_);
  std::erase_if(tended_, [](const auto& each) { return each.expired(); });
  tended_.push_back(attachment);
}

void Client::keep() {
  const auto pause = std::clamp<base::Monotonic::duration>(settings_.link.silence / 4, std::chrono::milliseconds(10),
                                                           std::chrono::milliseconds(250));
  base::Monotonic next = now() + pause;
  while (true) {
    std::vector<std::shared_ptr<Attachment>> all;
    {
      base::Lock lock(mutex_);
      while (!isEnding_ && now() < next) ending_.waitUntil(mutex_, next);
      if (isEnding_) return;
      for (const auto& each : tended_) {
        if (auto attachment = each.lock()) all.push_back(std::move(attachment));
      }
    }
    for (const auto& attachment : all) {
      for (const auto& link : attachment->links()) link->tend();
    }
    next = now() + pause;
  }
}

}  // namespace p11ha::transport
