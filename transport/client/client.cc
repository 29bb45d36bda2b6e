#include "transport/client/client.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "base/quiet_thread.h"

namespace p11ha::transport {
namespace {

using base::now;

std::string ownName() { return std::string(program_invocation_short_name) + "[" + std::to_string(getpid()) + "]"; }

}  // namespace

base::Result<std::unique_ptr<Client>, std::string> Client::make(ClientSettings settings) {
  ApplicationId application{};
  if (getrandom(application.data(), application.size(), 0) != static_cast<ssize_t>(application.size()))
    return base::Failure{std::string("no random numbers: ") + std::system_category().message(errno)};
  try {
    return std::unique_ptr<Client>(new Client(std::move(settings), application));
  } catch (const std::system_error& error) {
    return base::Failure{std::string("no thread for remote members: ") + error.what()};
  }
}

Client::Client(ClientSettings settings, const ApplicationId& application)
    : settings_(std::move(settings)),
      application_(application),
      name_(ownName()),
      keeper_(base::quietThread([this] { keep(); })) {}

Client::~Client() {
  {
    base::Lock lock(mutex_);
    isEnding_ = true;
    ending_.notifyAll();
  }
  keeper_.join();
}

// Of the files as they are now: certificates are renewed while applications run. Where new ones are no good, those from
// before are used on.
base::Result<std::shared_ptr<SSL_CTX>, std::string> Client::context() {
  const TlsFiles& files = settings_.tls;
  base::Lock lock(filesMutex_);
  const std::array present{base::stampOf(files.authorities), base::stampOf(files.certificate),
                           base::stampOf(files.privateKey)};
  if (const auto problem = problemOfKeyFile(files.privateKey)) {
    filesProblem_ = *problem;
  } else if (present != stamps_) {
    stamps_ = present;
    auto made = makeTlsContext(TlsSide::Client, files);
    filesProblem_ = made ? std::string() : made.error();
    if (made) context_ = std::shared_ptr<SSL_CTX>(made->release(), FreeSsl{});
  }
  if (context_ == nullptr) return base::Failure{filesProblem_};
  return context_;
}

std::optional<std::string> Client::problemOfFiles() {
  const auto used = context();
  return used ? std::nullopt : std::optional(used.error());
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
      asking.push_back(base::quietThread([&ask, server] { ask(server); }));
    } catch (const std::system_error&) {
      ask(server);
    }
  }
  for (std::thread& thread : asking) thread.join();
  return listings;
}

base::Result<Dialled, DialError> Client::dialTo(std::size_t server, const std::string& serial, base::Monotonic until) {
  const auto used = context();
  if (!used) return base::Failure{DialError{CKR_DEVICE_ERROR, used.error()}};
  return dial(settings_.servers[server], **used, {application_, serial}, name_, {until, &ended_});
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
