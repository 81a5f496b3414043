//! `cox server`: a whole cluster in one process. The components talk to the API server in process, each as itself.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use apiserver::certificates::Profile;
use apiserver::{ApiServer, PortRange, User};
use base::metrics::Registry;
use base::{CancellationToken, Clock, Random, Tasks};
use client::leader::{Candidate, Watchdog, lead};
use client::serving::Check;
use client::{Client, Context};
use ipnet::IpNet;
use kubelet::{Certificate, KubeletOptions, RuntimeChoice};
use scheduler::config::Profile as SchedulerProfile;
use scheduler::health::Health;
use scheduler::metrics::Metrics;

use crate::cluster::{self, Configuration, Running};
use crate::pid_file::PidFile;
use crate::{access, etcd, roles, secure, signals};

/// Where the CNI plugins may lie.
const CNI_PLUGINS: [&str; 2] = ["/opt/cni/bin", "/usr/lib/cni"];

/// Where upstream's scheduler and controllers answer for themselves.
const SCHEDULER_PORT: u16 = 10259;
const CONTROLLERS_PORT: u16 = 10257;

/// How the one-process cluster is set up.
#[derive(clap::Args, Clone)]
pub struct Arguments {
    /// Where everything is kept.
    #[arg(long, default_value = "/var/lib/coxswain")]
    data_dir: PathBuf,
    /// The address that the API server listens on.
    #[arg(long, default_value = "0.0.0.0")]
    bind_address: IpAddr,
    /// The port of the API server.
    #[arg(long, default_value_t = 6443)]
    secure_port: u16,
    /// Write the admin's kubeconfig here too.
    #[arg(long)]
    write_kubeconfig: Option<PathBuf>,
    /// The address that others reach this machine by.
    #[arg(long)]
    advertise_address: Option<IpAddr>,
    /// The node's name; the machine's host name unless given.
    #[arg(long, default_value_t = cluster::host_name())]
    node_name: String,
    /// The addresses of services: a range, or one of each family, the preferred one first.
    #[arg(long, value_delimiter = ',', default_value = "10.96.0.0/16")]
    service_cluster_ip_range: Vec<IpNet>,
    /// The ports that nodes open for services: FIRST-LAST, or FIRST+MORE.
    #[arg(long, default_value_t)]
    service_node_port_range: PortRange,
    /// The addresses of pods.
    #[arg(long, default_value = "10.244.0.0/16")]
    cluster_cidr: IpNet,
    /// The address of the cluster's DNS; the tenth of the service range unless given.
    #[arg(long)]
    cluster_dns: Option<IpAddr>,
    /// The socket of a container runtime that somebody else runs.
    #[arg(long)]
    container_runtime_endpoint: Option<String>,
    #[command(flatten)]
    access: access::Arguments,
    #[command(flatten)]
    etcd: etcd::Flags,
    /// Run no node here: API server, controllers and scheduler only.
    #[arg(long)]
    disable_agent: bool,
}

/// Runs the cluster until a signal comes. Containers go on running afterwards, and the next start finds them.
///
/// # Errors
/// When something cannot start.
pub async fn run(arguments: Arguments) -> Result<()> {
    if !arguments.disable_agent {
        check_machine(&arguments)?;
    }
    let (clock, random, stop) = (Clock::system(), Random::system(), signals::cancelled_by_signals()?);
    let etcd = arguments.etcd.clone().etcd();
    let configuration = Configuration {
        data_dir: arguments.data_dir.clone(),
        bind_address: arguments.bind_address,
        secure_port: arguments.secure_port,
        advertise_address: arguments.advertise_address,
        service_ranges: arguments.service_cluster_ip_range.clone(),
        node_ports: arguments.service_node_port_range,
        supplied: apiserver::certificates::Supplied::default(),
        token_auth_file: None,
        issuers: vec![cluster::DEFAULT_ISSUER.to_owned()],
        modes: vec![apiserver::authorization::Mode::Node, apiserver::authorization::Mode::Rbac],
        verify_kubelets: true,
        access: arguments.access.clone(),
        etcd: etcd.clone(),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&arguments.data_dir)
        .with_context(|| format!("making the data directory {}", arguments.data_dir.display()))?;
    let _held = PidFile::claim(&arguments.data_dir)?;
    let mut running = cluster::start(&configuration, &clock, &random, &stop).await?;
    let url = cluster::local_url(running.address);
    let own = arguments.data_dir.join("admin.kubeconfig");
    for path in std::iter::once(&own).chain(&arguments.write_kubeconfig) {
        running.certificates.write_kubeconfig(path, &url, &Profile::admin(), clock.now())?;
    }
    tracing::info!(address = %running.address, kubeconfig = %own.display(), "the API server is ready");
    apiserver::bootstrap::ensure(&running.server, roles::objects())
        .await
        .map_err(|status| anyhow::anyhow!("making the roles of the components: {}", status.message))?;
    let house = House { arguments: &arguments, running: &running, clock, random, stop: stop.clone() };
    let mut components = Tasks::new();
    house.control_plane(&mut components, etcd.is_some()).await?;
    if !arguments.disable_agent {
        house.node(&mut components)?;
    }
    components.join_all().await;
    running.tasks.join_all().await;
    Ok(())
}

/// Says at once what a node cannot do without.
fn check_machine(arguments: &Arguments) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("running containers takes root; start `cox server` as root, or with --disable-agent");
    }
    for program in ["nft", "ip"] {
        let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"]
            .iter()
            .any(|dir| Path::new(dir).join(program).exists());
        if !found {
            bail!("the program {program} is missing: install nftables and iproute2");
        }
    }
    if !Path::new("/sys/fs/cgroup").join("cgroup.controllers").exists() && !Path::new("/sys/fs/cgroup/memory").exists()
    {
        bail!("/sys/fs/cgroup has no cgroups: mount cgroup v2 there");
    }
    if arguments.container_runtime_endpoint.is_none() {
        kubelet::containerd::program()?;
    }
    if arguments.node_name.is_empty() {
        bail!("this machine has no host name: give --node-name");
    }
    Ok(())
}

/// What every component is made from.
struct House<'a> {
    arguments: &'a Arguments,
    running: &'a Running,
    clock: Clock,
    random: Random,
    stop: CancellationToken,
}

/// A client in process that speaks for a service account of `kube-system`.
fn service_account(server: &ApiServer, agent: &'static str, name: &str) -> Client {
    let user = User {
        name: format!("system:serviceaccount:kube-system:{name}"),
        groups: ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"]
            .map(str::to_owned)
            .into(),
        ..User::default()
    };
    Client::in_process(server.clone(), user).named(agent)
}

/// Schedules, whenever it is this process's turn if it has an identity. Who loses the lead waits for it again: the node
/// goes on.
async fn schedule(
    context: Context,
    identity: Option<String>,
    watchdog: Watchdog,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
) {
    let work = |cancel: CancellationToken| {
        let (context, metrics, health) = (Context { cancel, ..context.clone() }, metrics.clone(), health.clone());
        async move { scheduler::run_observed(context, SchedulerProfile::default().into(), metrics, &health).await }
    };
    let Some(identity) = identity else { return work(context.cancel.clone()).await };
    // Who waits for the lead is well.
    health.set_ready();
    let election = scheduler::config::LeaderElection::default();
    let candidate = Candidate { namespace: election.namespace, name: election.name, identity, watchdog };
    while !lead(&context, &candidate, work).await {}
}

impl House<'_> {
    /// A client in process that speaks for `name`; what it writes is managed by `agent`.
    fn client(&self, agent: &'static str, name: &str, groups: &[&str]) -> Client {
        let groups: Vec<&str> = groups.iter().copied().chain(["system:authenticated"]).collect();
        Client::in_process(self.running.server.clone(), User::new(name, &groups)).named(agent)
    }

    async fn control_plane(&self, tasks: &mut Tasks, elect: bool) -> Result<()> {
        let context = self.context("kube-scheduler", "system:kube-scheduler");
        let (metrics, health) = (Arc::new(Metrics::new()), Arc::new(Health::default()));
        let watchdog = Watchdog::default();
        let checks = vec![watchdog.check(&self.clock, &["/healthz", "/readyz"]), health.check()];
        let component = ("kube-scheduler", SCHEDULER_PORT);
        self.status(component, &context, checks, metrics.registry(), tasks).await?;
        let identity = elect.then(|| self.identity());
        tasks.spawn("scheduler", schedule(context, identity, watchdog, metrics, health));

        let context = self.context("kube-controller-manager", "system:kube-controller-manager");
        let component = ("kube-controller-manager", CONTROLLERS_PORT);
        let watchdog = Watchdog::default();
        let checks = vec![watchdog.check(&self.clock, &["/healthz"])];
        self.status(component, &context, checks, controllers::job::metrics::registry(), tasks).await?;
        let client = context.client;
        let server = self.running.server.clone();
        let identities =
            controllers::Identities::new(move |account| service_account(&server, "kube-controller-manager", account));
        let options = controllers::Options {
            watchdog,
            identities: Some(identities),
            root_ca: self.running.certificates.authority_pem().to_owned(),
            cluster_cidrs: vec![self.arguments.cluster_cidr.to_string()],
            leader_identity: elect.then(|| self.identity()),
            ..controllers::Options::default()
        };
        let (clock, random, stop) = (self.clock.clone(), self.random.clone(), self.stop.clone());
        let run = async move {
            loop {
                let run =
                    controllers::run(client.clone(), options.clone(), clock.clone(), random.clone(), stop.clone());
                match run.await {
                    // The node goes on; the controllers wait for their turn again.
                    Err(controllers::Error::LeadLost) if !stop.is_cancelled() => {}
                    ended => return ended,
                }
            }
        };
        self.component(tasks, "controllers", run);
        Ok(())
    }

    /// What a part of the control plane lives in.
    fn context(&self, agent: &'static str, name: &str) -> Context {
        let client = self.client(agent, name, &[]);
        Context { client, clock: self.clock.clone(), random: self.random.clone(), cancel: self.stop.clone() }
    }

    /// Answers for a part of the control plane where those who look after a cluster ask.
    async fn status(
        &self,
        component: (&'static str, u16),
        context: &Context,
        checks: Vec<Check>,
        counts: Registry,
        tasks: &mut Tasks,
    ) -> Result<()> {
        let certificates = &self.running.certificates;
        let profile = Profile {
            file: format!("{}-serving", component.0),
            common_name: component.0.to_owned(),
            organizations: Vec::new(),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        };
        let pair = certificates.pair(&profile, self.clock.now()).context("making a component's certificate")?;
        let own = Certificate { certificate: pair.certificate_pem, key: pair.key_pem };
        secure::serve_inside(component, own, certificates.client_ca_pem()?, context, checks, counts, tasks).await;
        Ok(())
    }

    /// Who this process is among those that want to lead.
    fn identity(&self) -> String {
        format!("{}_{}", cluster::host_name(), self.random.uuid())
    }

    fn node(&self, tasks: &mut Tasks) -> Result<()> {
        let name = &self.arguments.node_name;
        let node_ip = self.running.advertise_address;
        let dns_ip = self.dns_address()?;
        let cni_dir = self.arguments.data_dir.join("cni");
        let plugins = CNI_PLUGINS.map(PathBuf::from);
        let bin_dir = plugins.iter().find(|dir| dir.join("ptp").exists()).cloned();
        let Some(bin_dir) = bin_dir else {
            bail!("the CNI plugins are missing: install containernetworking-plugins");
        };

        let client = self.client("kubelet", &format!("system:node:{name}"), &["system:nodes"]);
        let options = self.kubelet_options(node_ip, dns_ip, &cni_dir, &bin_dir)?;
        let run = kubelet::run(client, options, self.clock.clone(), self.random.clone(), self.stop.clone());
        self.component(tasks, "kubelet", run);

        let client = self.client("kube-proxy", "system:kube-proxy", &["system:node-proxier"]);
        let mut options = proxy::Options::new(name.clone(), vec![node_ip]);
        options.cluster_cidrs = vec![self.arguments.cluster_cidr];
        let run = proxy::run(client, options, self.clock.clone(), self.random.clone(), self.stop.clone());
        self.component(tasks, "proxy", run);

        let client = service_account(&self.running.server, "cox-network", roles::NETWORK);
        let mut options = network::Options::new(name.clone(), self.arguments.data_dir.join("network"));
        options.conf_dir = cni_dir;
        options.plugin_dirs = vec![bin_dir];
        options.cluster_cidrs = vec![self.arguments.cluster_cidr];
        let run = network::run(client, options, self.clock.clone(), self.random.clone(), self.stop.clone());
        self.component(tasks, "network", run);

        self.dns(tasks, node_ip, dns_ip);
        Ok(())
    }

    fn dns(&self, tasks: &mut Tasks, node_ip: IpAddr, dns_ip: IpAddr) {
        /// Where DNS answers on the node; the service maps port 53 to it.
        const DNS_PORT: u16 = 10053;
        let client = service_account(&self.running.server, "cox-dns", roles::DNS);
        let listen = SocketAddr::new(node_ip, DNS_PORT);
        let mut options = dns::Options::new(vec![listen]);
        options.cluster_ip = Some(dns_ip);
        let node = self.arguments.node_name.clone();
        options.publication = Some(dns::Publication { cluster_ip: dns_ip, endpoint: listen, node });
        let run = dns::run(client, options, self.clock.clone(), self.random.clone(), self.stop.clone());
        self.component(tasks, "dns", run);
    }

    fn kubelet_options(
        &self,
        node_ip: IpAddr,
        dns_ip: IpAddr,
        cni_dir: &Path,
        bin_dir: &Path,
    ) -> Result<KubeletOptions> {
        let (data, name) = (&self.arguments.data_dir, &self.arguments.node_name);
        let profile = Profile {
            file: format!("kubelet-{name}"),
            common_name: format!("system:node:{name}"),
            organizations: vec!["system:nodes".to_owned()],
            names: vec![name.clone(), node_ip.to_string(), "127.0.0.1".to_owned()],
        };
        let pair =
            self.running.certificates.pair(&profile, self.clock.now()).context("making the kubelet's certificate")?;
        let runtime = match &self.arguments.container_runtime_endpoint {
            Some(endpoint) => RuntimeChoice::Endpoint(endpoint.clone()),
            None => RuntimeChoice::Containerd {
                data_dir: data.clone(),
                cni_bin_dir: bin_dir.to_owned(),
                cni_conf_dir: cni_dir.to_owned(),
            },
        };
        Ok(KubeletOptions {
            node_name: name.clone(),
            node_ips: vec![node_ip],
            root_dir: data.join("kubelet"),
            logs_dir: data.join("log"),
            runtime,
            cluster_dns: vec![dns_ip.to_string()],
            tls: Some(Certificate { certificate: pair.certificate_pem, key: pair.key_pem }),
            client_ca: Some(self.running.certificates.client_ca_pem()?),
            ..KubeletOptions::default()
        })
    }

    fn dns_address(&self) -> Result<IpAddr> {
        let tenth = self.arguments.service_cluster_ip_range.first().and_then(|range| range.hosts().nth(9));
        let address = self.arguments.cluster_dns.or(tenth);
        address.context("the service range has no tenth address: give --cluster-dns")
    }

    /// Runs a component; one that cannot go on takes the process down with it, so that somebody notices.
    fn component<E: std::error::Error + Send + Sync + 'static>(
        &self,
        tasks: &mut Tasks,
        name: &'static str,
        run: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        tasks.spawn(name, async move {
            if let Err(error) = run.await {
                let error = anyhow::Error::new(error);
                eprintln!("cox: {name}: {error:#}");
                if !stop.is_cancelled() {
                    std::process::exit(1);
                }
            }
        });
    }
}
