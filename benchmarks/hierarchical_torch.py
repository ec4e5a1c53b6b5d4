"""H-IWAE's training step in PyTorch, for `hierarchical_step.py`."""

import numpy as np

BATCH, NUM, LATENT, CONTEXT, HIDDEN = 64, 5, 32, 450, 1920


def build(images: np.ndarray, threads: int, *, compiled: bool):
    """`step()` of the same model in PyTorch, and how many parameters it has."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(0)

    class Normed(nn.Module):
        """Weight norm; `stride` for a 3x3 convolution, none for a dense layer."""

        def __init__(self, size, out, stride=None):
            super().__init__()
            shape = (out, size, 3, 3) if stride else (out, size)
            limit = (size * 9 if stride else size) ** -0.5
            self.direction = nn.Parameter(torch.empty(shape).uniform_(-limit, limit))
            self.scale = nn.Parameter(torch.ones(out))
            self.bias = nn.Parameter(torch.empty(out).uniform_(-limit, limit))
            self.stride = stride

        def weight(self):
            d = self.direction
            norm = d.flatten(1).norm(dim=1)
            return d * (self.scale / norm).view(-1, *[1] * (d.dim() - 1))

        def forward(self, x):
            if self.stride:
                return F.conv2d(x, self.weight(), self.bias, self.stride, padding=1)
            return F.linear(x, self.weight(), self.bias)

    class Residual(nn.Module):
        def __init__(self, size, out, stride=None):
            super().__init__()
            self.first = Normed(size, out, stride)
            self.second = Normed(out, out, 1 if stride else None)
            self.skip = Normed(size, out, stride)
            self.inside = F.elu if stride else F.relu

        def forward(self, x):
            return self.second(self.inside(self.first(x))) + self.skip(x)

    class Conditioned(nn.Module):
        """Unit rows, scale and shift linear in the context."""

        def __init__(self, size, out):
            super().__init__()
            self.direction = nn.Parameter(0.001 * torch.randn(out, size))
            self.scale, self.shift = nn.Linear(CONTEXT, out), nn.Linear(CONTEXT, out)
            for layer in (self.scale, self.shift):
                nn.init.normal_(layer.weight, std=0.001)

        def forward(self, z, c):
            y = F.linear(z, F.normalize(self.direction, dim=1))
            scale, shift = self.scale(c), self.shift(c)
            if y.dim() == 3:  # K points of one context
                scale, shift = scale[:, None], shift[:, None]
            return scale * y + shift

    class Head(nn.Module):
        def __init__(self, out):
            super().__init__()
            self.hidden, self.skip = (
                Conditioned(LATENT, HIDDEN),
                Conditioned(LATENT, out),
            )
            self.loc, self.raw = Conditioned(HIDDEN, out), Conditioned(HIDDEN, out)

        def forward(self, z, c):
            h = F.elu(self.hidden(z, c))
            return self.loc(h, c) + self.skip(z, c), self.raw(h, c)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = ((1, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 2))
            self.convs = nn.ModuleList([Residual(*s) for s in sizes])
            self.dense = Residual(512, CONTEXT)

        def forward(self, x):
            for conv in self.convs:
                x = F.elu(conv(x))
            return F.elu(self.dense(x.flatten(1)))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = nn.ModuleList(
                [Residual(LATENT, CONTEXT), Residual(CONTEXT, 512)]
            )
            sizes = ((32, 32), (32, 32), (32, 16), (16, 16), (16, 1))
            self.convs = nn.ModuleList([Residual(*s, 1) for s in sizes])

        def forward(self, z):
            for dense in self.dense:
                z = F.elu(dense(z))
            h = z.view(-1, 32, 4, 4).contiguous(memory_format=torch.channels_last)
            twice = lambda h: F.interpolate(h, scale_factor=2, mode="bilinear")
            a, b, c, d, last = self.convs
            h = F.elu(b(F.elu(a(twice(h)))))[:, :, :-1, :-1]
            return last(twice(F.elu(d(F.elu(c(twice(h))))))).flatten(1)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = Encoder(), Decoder()
            self.root = nn.ModuleList([Residual(CONTEXT, LATENT) for _ in range(2)])
            self.branches, self.reverse = Head(NUM * LATENT), Head(LATENT)
            self.embed = Normed(CONTEXT, CONTEXT)

        def forward(self, x, noise, noises, weight):
            c = self.encoder(x)
            scale = lambda raw: torch.log(F.softplus(raw) + 1e-6)
            log_normal = lambda z, m, s: (
                -0.5 * ((z - m) * torch.exp(-s)) ** 2 - s - 0.9189385332046727
            ).sum(-1)
            m0, s0 = self.root[0](c), scale(self.root[1](c))
            root = m0 + torch.exp(s0) * noise
            loc, raw = self.branches(root, c)
            m, s = loc.view(-1, NUM, LATENT), scale(raw).view(-1, NUM, LATENT)
            z = m + torch.exp(s) * noises
            # log q_i(z_j | root) for all pairs: the balance heuristic
            pairs = log_normal(z[:, :, None], m[:, None], s[:, None])
            log_mixture = torch.logsumexp(pairs, -1)
            m_r, v_r = self.reverse(z, self.embed(c))
            log_r = log_normal(root[:, None], m_r, v_r / 2)
            zero = torch.zeros(())
            kl = log_normal(root, m0, s0)[:, None] + log_mixture - log_r
            # log pi_j + log K - log q_j is log K - log of the sum over the branches
            kl = kl - log_normal(z, zero, zero) - torch.log(torch.tensor(float(NUM)))
            logits = self.decoder(z.view(-1, LATENT)).view(-1, NUM, 784)
            logits = squeezed(logits)
            flat = x.flatten(1)[:, None].expand_as(logits)
            bce = F.binary_cross_entropy_with_logits
            likelihood = -bce(logits, flat, reduction="none").sum(-1)
            bound = torch.logsumexp(likelihood - weight * kl, -1)
            return -(bound - torch.log(torch.tensor(float(NUM)))).mean()

    def squeezed(logits):
        p = torch.sigmoid(logits) * (1 - 1e-6) + 5e-7
        return torch.log(p) - torch.log1p(-p)

    model = Model().to(memory_format=torch.channels_last)
    theirs = [model.encoder, model.root, model.branches]
    proposals = [p for part in theirs for p in part.parameters()]
    parts = [model.decoder, model.reverse, model.embed]
    others = [p for part in parts for p in part.parameters()]
    optimisers = [
        torch.optim.Adam(side, 5e-5, fused=True) for side in (proposals, others)
    ]
    everything = proposals + others
    average = [p.detach().clone() for p in everything]
    data = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    loss_of = torch.compile(model) if compiled else model
    count = 0

    def step():
        nonlocal count
        x = data[torch.randint(len(data), (BATCH,))]
        noise, noises = torch.randn(BATCH, LATENT), torch.randn(BATCH, NUM, LATENT)
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss = loss_of(x, noise, noises, torch.tensor(max(1e-4, count / 50_000)))
        loss.backward()
        for side, optimiser in zip((proposals, others), optimisers):
            torch.nn.utils.clip_grad_norm_(side, 5.0)
            optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, [p.detach() for p in everything], 0.002)
        count += 1
        return float(loss.detach())

    return step, sum(p.numel() for p in everything)
